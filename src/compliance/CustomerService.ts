import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import type { Page } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { environments } from '../observe/observation.ts';
import { decideRequest } from '../policy/decideRequest.ts';
import type { Subject } from '../policy/decision.ts';
import type { PolicyService } from '../policy/PolicyService.ts';
import { type Alert, type AlertType, undecidedStatuses } from './alert.ts';
import type { AlertFilterInput } from './alertFilter.ts';
import type { ComplianceService } from './ComplianceService.ts';
import { type Customer, decodeCustomer, type VerificationStatus } from './customer.ts';
import { findCustomer } from './store/findCustomer.ts';
import { type IdentityState, recordIdentityState } from './store/recordIdentityState.ts';

const word = z.string().min(1).max(200);

const identityCheckSchema = z
  .strictObject({
    environment: z.enum(environments),
    /** MoonPay's id of the check. */
    checkId: word,
    /** MoonPay's id of the customer. */
    customerId: identifier.optional(),
    externalCustomerId: identifier.optional(),
    /** `clear` or `rejected`; none as long as the check goes on. */
    result: word.optional(),
    /** `final`, `retry`, … */
    rejectType: word.nullish(),
    rejectLabels: z.array(word).nullish(),
    escalationReasons: z.array(word).nullish(),
    /** When it came to this result; default: now. */
    checkedAt: z.date().optional(),
  })
  .refine(({ customerId, externalCustomerId }) => customerId !== undefined || externalCustomerId !== undefined, {
    path: ['customerId'],
    error: "give MoonPay's customerId or your externalCustomerId",
    params: { code: 'required' },
  });
export type IdentityCheckInput = z.input<typeof identityCheckSchema>;
type IdentityCheck = z.output<typeof identityCheckSchema>;

const kycAlertTypes: readonly AlertType[] = [
  'kyc_verification',
  'identity_verification',
  'document_verification',
  'address_verification',
];

export interface CustomerServiceDependencies {
  readonly database: Database;
  readonly compliance: ComplianceService;
  readonly policies: PolicyService;
}

/** Customers, what identity checks say about them, and the alerts that come of it. */
export class CustomerService {
  readonly #dependencies: CustomerServiceDependencies;

  constructor(dependencies: CustomerServiceDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Judges an identity check by the same policies as MoonPay's events, for checks that came by another way, and moves the
   * customer's identity state forward by it. The default policies raise a KYC alert when it is rejected or escalated: high
   * when that is final, else medium; a further call about the same check with the same result counts on that alert. Returns
   * the first alert; undefined when there is nothing to alert about.
   * @throws MoonguardError request_invalid
   */
  async recordIdentityCheck(input: IdentityCheckInput, options: WriteOptions = {}): Promise<Alert | undefined> {
    const check = parseInput(identityCheckSchema, input, 'request_invalid');
    const { database, policies } = this.#dependencies;
    return database.transaction(async (transaction) => {
      await recordIdentityState(transaction, stateOf(check));
      const subject = subjectOf(check, options.actor ?? SYSTEM_ACTOR);
      const { alerts } = await decideRequest(subject, policies.deciding, transaction);
      return alerts[0];
    }, options.transaction);
  }

  /**
   * By MoonPay's id of the customer, else by your own.
   * @throws MoonguardError customer_not_found
   */
  async getCustomer(
    customerId: string,
    { transaction = this.#dependencies.database.db }: ReadOptions = {},
  ): Promise<Customer> {
    const known = identifier.safeParse(customerId).success;
    const row = known ? await findCustomer(transaction, customerId) : undefined;
    if (row === undefined) throw new MoonguardError('customer_not_found', 'There is no customer with this id.');
    return decodeCustomer(row);
  }

  /**
   * Alerts about the identity of customers that nobody has decided, the newest first.
   * @throws MoonguardError alert_invalid
   */
  async listKycIssues(
    filter: Pick<AlertFilterInput, 'customerId' | 'severity' | 'assignedTo' | 'limit' | 'cursor'> = {},
    options: ReadOptions = {},
  ): Promise<Page<Alert>> {
    return this.#dependencies.compliance.listAlerts(
      { ...filter, alertType: [...kycAlertTypes], status: [...undecidedStatuses] },
      options,
    );
  }
}

function stateOf(check: IdentityCheck): IdentityState {
  const { environment, customerId, externalCustomerId, checkId: id, result, rejectType, checkedAt } = check;
  return {
    environment,
    customerId,
    externalCustomerId,
    status: statusOf(result),
    check: { id, result, rejectType: rejectType ?? undefined },
    checkedAt,
  };
}

/** As for MoonPay's events: anything but an end is pending. */
function statusOf(result: string | undefined): VerificationStatus {
  if (result === 'clear') return 'completed';
  return result === 'rejected' ? 'failed' : 'pending';
}

function subjectOf(check: IdentityCheck, requestedBy: string): Subject {
  const { environment, checkId, customerId, externalCustomerId } = check;
  return {
    event: {
      id: checkId,
      name: 'customer.kyc_updated',
      environment,
      at: '',
      type: 'identity_check_updated',
      entity_type: 'customer',
      entity_id: customerId ?? externalCustomerId,
      customer_id: customerId,
      external_customer_id: externalCustomerId,
      stages: [],
      failed_stages: [],
      failure_codes: [],
      identity: {
        check_id: checkId,
        result: check.result,
        reject_type: check.rejectType ?? undefined,
        reject_labels: check.rejectLabels ?? [],
        escalation_reasons: check.escalationReasons ?? [],
      },
      fields: {},
    },
    correlationId: `check_${checkId}`,
    requestedBy,
  };
}
