import type { AlertType, Severity } from '../compliance/alert.ts';
import type { EventFacts } from './eventFacts.ts';
import type { PolicyType } from './policyLog.ts';

/** The facts that make a rule fire, as they are kept with the decision. */
export type Evidence = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface Rule {
  readonly id: string;
  readonly policyId: string;
  readonly policyName: string;
  readonly policyType: PolicyType;
  /** The condition in words, for who reads the policy log. */
  readonly condition: string;
  /** What makes it fire on these facts; undefined: nothing does. */
  readonly when: (facts: EventFacts) => Evidence | undefined;
  readonly alert: { readonly type: AlertType; readonly severity: Severity; readonly title: string };
}

export const identityChecks = {
  policyId: 'kyc_policy_moonpay',
  policyName: 'Identity checks of MoonPay',
  policyType: 'kyc_policy',
} as const;
const failures = {
  policyId: 'compliance_rule_moonpay_failures',
  policyName: 'Failed transactions of MoonPay',
  policyType: 'compliance_rule',
} as const;
const limits = {
  policyId: 'transaction_limit_moonpay',
  policyName: 'Limits of MoonPay',
  policyType: 'transaction_limit',
} as const;
const reversals = {
  policyId: 'risk_assessment_moonpay_reversals',
  policyName: 'Payments taken back',
  policyType: 'risk_assessment',
} as const;

/** With these the customer may try again; `final`, one that we do not know or none at all is the end. */
const retryable = ['retry', 'level2Request', 'level3Request'];

/** What MoonPay's events mean to compliance. */
export const defaultRules: readonly Rule[] = [
  {
    ...identityChecks,
    id: 'identity_rejected',
    condition: 'an identity check is rejected and the customer may not try again',
    when: rejected((rejectType) => rejectType === undefined || !retryable.includes(rejectType)),
    alert: { type: 'kyc_verification', severity: 'high', title: 'Identity check rejected' },
  },
  {
    ...identityChecks,
    id: 'identity_rejected_retry',
    condition: 'an identity check is rejected and the customer may try again',
    when: rejected((rejectType) => rejectType !== undefined && retryable.includes(rejectType)),
    alert: { type: 'kyc_verification', severity: 'medium', title: 'Identity check rejected, to be tried again' },
  },
  {
    ...identityChecks,
    id: 'identity_escalated',
    condition: 'an identity check has reasons for escalation',
    when: ({ identityCheck }) =>
      identityCheck !== undefined && identityCheck.escalationReasons.length > 0
        ? { escalationReasons: identityCheck.escalationReasons }
        : undefined,
    alert: { type: 'kyc_verification', severity: 'medium', title: 'Identity check escalated' },
  },
  {
    ...failures,
    id: 'failed_kyc_rejected',
    condition: 'a transaction failed with rejected_kyc',
    when: failedWith('rejected_kyc'),
    alert: { type: 'kyc_verification', severity: 'medium', title: 'Transaction failed: identity rejected' },
  },
  {
    ...failures,
    id: 'failed_kyc_timeout',
    condition: 'a transaction failed with timeout_kyc_verification',
    when: failedWith('timeout_kyc_verification'),
    alert: { type: 'kyc_verification', severity: 'low', title: 'Transaction failed: identity check not finished' },
  },
  {
    ...failures,
    id: 'failed_rejected',
    condition: 'a transaction failed with rejected_other',
    when: failedWith('rejected_other'),
    alert: { type: 'transaction_monitoring', severity: 'medium', title: 'Transaction rejected by MoonPay' },
  },
  {
    ...limits,
    id: 'failed_daily_limit',
    condition: 'a transaction failed with daily_purchase_limit_exceeded',
    when: failedWith('daily_purchase_limit_exceeded'),
    alert: { type: 'transaction_monitoring', severity: 'medium', title: 'Daily purchase limit exceeded' },
  },
  {
    ...failures,
    id: 'charged_not_delivered',
    condition: 'stage four (delivery) of a transaction failed: the customer was charged and got nothing',
    when: ({ failedStages, failureCodes }) =>
      failedStages.includes('stage_four_delivery') ? { failedStages, failureCodes } : undefined,
    alert: { type: 'transaction_monitoring', severity: 'high', title: 'Transaction charged but not delivered' },
  },
  {
    ...reversals,
    id: 'refunded',
    condition: 'a payment was refunded',
    when: named('moonpay.refunded'),
    alert: { type: 'transaction_monitoring', severity: 'medium', title: 'Payment refunded' },
  },
  {
    ...reversals,
    id: 'chargeback',
    condition: 'a payment was charged back',
    when: named('moonpay.chargeback'),
    alert: { type: 'suspicious_activity', severity: 'high', title: 'Payment charged back' },
  },
];

function rejected(accepts: (rejectType: string | undefined) => boolean): Rule['when'] {
  return ({ identityCheck }) => {
    if (identityCheck?.result !== 'rejected' || !accepts(identityCheck.rejectType)) return undefined;
    const { rejectType, rejectLabels } = identityCheck;
    return { rejectType, rejectLabels };
  };
}

function failedWith(code: string): Rule['when'] {
  return ({ failureCodes }) => (failureCodes.includes(code) ? { failureCodes } : undefined);
}

function named(eventName: string): Rule['when'] {
  return (facts) => (facts.eventName === eventName ? { eventName } : undefined);
}
