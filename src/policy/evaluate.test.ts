import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newAlertSchema } from '../compliance/alertInput.ts';
import { evaluate } from './evaluate.ts';
import { factsOf, type StoredEventFacts } from './eventFacts.ts';
import { policyExecutionSchema } from './policyLogInput.ts';

const event = (more: Partial<StoredEventFacts>): StoredEventFacts => ({
  id: '0190d6f0-0000-7000-8000-000000000001',
  environment: 'sandbox',
  event_name: 'transaction.updated',
  event_type: 'transaction_updated',
  entity_type: 'transaction',
  entity_id: 'tx_1',
  event_data: {},
  ...more,
});

const identityCheck = (data: object): StoredEventFacts =>
  event({
    event_name: 'customer.kyc_updated',
    event_type: 'identity_check_updated',
    entity_type: 'customer',
    entity_id: 'customer_1',
    event_data: { type: 'identity_check_updated', data: { id: 'check_1', customerId: 'customer_1', ...data } },
  });

const transaction = (data: object): StoredEventFacts => event({ event_data: { data: { customerId: 'c1', ...data } } });

const failedStage = (stage: string, failureReason: string | null): object => ({
  stages: [
    { stage: 'stage_one_ordering', status: 'success', failureReason: null },
    { stage, status: 'failed', failureReason },
  ],
});

const decisionOn = (stored: StoredEventFacts) => evaluate(factsOf(stored));

// PostgreSQL stores neither NUL nor half of a surrogate pair, so no stored event has them.
const storedText = (maxLength: number) =>
  fc.string({ unit: 'grapheme', maxLength }).map((text) => text.replaceAll('\0', ''));
const word = fc.oneof(
  storedText(30),
  fc.constant('x'.repeat(600)),
  fc.constantFrom('rejected', 'clear', 'retry', 'final', 'failed', 'rejected_other', 'stage_four_delivery', 'pep'),
);
const anything = fc.oneof(word, fc.array(word), fc.integer(), fc.double(), fc.constant(null), fc.boolean());
const data = fc.dictionary(
  fc.constantFrom(
    'id',
    'customerId',
    'externalCustomerId',
    'result',
    'rejectType',
    'rejectLabels',
    'escalationReasons',
    'failureReason',
    'stages',
  ),
  fc.oneof(anything, fc.array(fc.dictionary(fc.constantFrom('stage', 'status', 'failureReason'), anything))),
);
const id = fc.option(
  fc.oneof(
    storedText(30).filter((text) => text !== ''),
    fc.constant('x'.repeat(500)),
  ),
);
const arbitraryEvent = fc.record({
  event_name: fc.constantFrom('transaction.failed', 'customer.kyc_rejected', 'moonpay.refunded', 'moonpay.unknown'),
  event_type: storedText(500),
  entity_type: fc.option(fc.constantFrom('transaction', 'customer', 'unknown')),
  entity_id: id,
  event_data: fc.oneof(data, fc.record({ data: fc.oneof(data, anything), externalCustomerId: anything }), anything),
});

describe('the default rules', () => {
  test.each<[string, StoredEventFacts, string[], string]>([
    ['rejected for good', identityCheck({ result: 'rejected', rejectType: 'final' }), ['identity_rejected'], 'high'],
    ['rejected, no type', identityCheck({ result: 'rejected' }), ['identity_rejected'], 'high'],
    [
      'rejected, old type',
      identityCheck({ result: 'rejected', rejectType: 'external' }),
      ['identity_rejected'],
      'high',
    ],
    [
      'to be tried again',
      identityCheck({ result: 'rejected', rejectType: 'retry' }),
      ['identity_rejected_retry'],
      'medium',
    ],
    ['odd spaces', identityCheck({ result: 'rejected ', rejectType: ' retry' }), ['identity_rejected_retry'], 'medium'],
    ['escalated', identityCheck({ escalationReasons: ['kyc_review'] }), ['identity_escalated'], 'medium'],
    [
      'escalated, as text',
      identityCheck({ result: 'clear', escalationReasons: 'pep' }),
      ['identity_escalated'],
      'medium',
    ],
    [
      'rejected_kyc',
      transaction(failedStage('stage_two_verification', 'rejected_kyc')),
      ['failed_kyc_rejected'],
      'medium',
    ],
    ['kyc_rejected at the top', transaction({ failureReason: 'kyc_rejected' }), ['failed_kyc_rejected'], 'medium'],
    ['timeout', transaction({ failureReason: 'timeout_kyc_verification' }), ['failed_kyc_timeout'], 'low'],
    ['rejected_other', transaction({ failureReason: 'rejected_other' }), ['failed_rejected'], 'medium'],
    ['limit', transaction({ failureReason: 'daily_purchase_limit_exceeded' }), ['failed_daily_limit'], 'medium'],
    ['stage four', transaction(failedStage('stage_four_delivery', null)), ['charged_not_delivered'], 'high'],
    ['refunded', event({ event_name: 'moonpay.refunded' }), ['refunded'], 'medium'],
    ['chargeback', event({ event_name: 'moonpay.chargeback' }), ['chargeback'], 'high'],
  ])('%s', (_, stored, rules, severity) => {
    const { hits, alerts, executions } = decisionOn(stored);
    expect(hits.map(({ rule }) => rule.id)).toEqual(rules);
    expect(alerts.map((alert) => alert.severity)).toEqual([severity]);
    expect(executions.map(({ actionType }) => actionType)).toEqual(rules.map(() => 'rule_triggered'));
  });

  test.each<[string, StoredEventFacts]>([
    ['a completed transaction', transaction({ status: 'completed', failureReason: null })],
    ['a card that was declined', transaction(failedStage('stage_three_processing', 'rejected_card'))],
    ['stage four under way', transaction({ stages: [{ stage: 'stage_four_delivery', status: 'in_progress' }] })],
    ['an identity check under way', identityCheck({ status: 'pending', result: null, escalationReasons: [] })],
    ['no JSON', event({ event_data: null })],
    ['JSON of no use', event({ event_data: [{ data: 1 }], entity_type: null, entity_id: null })],
  ])('nothing on %s', (_, stored) => {
    expect(decisionOn(stored)).toEqual({ hits: [], alerts: [], executions: [] });
  });

  test('a clear identity check is logged as passed, in the envelope or without it', () => {
    const bare = {
      id: 'check_1',
      customerId: 'customer_1',
      status: 'completed',
      result: 'clear',
      escalationReasons: null,
    };
    for (const stored of [identityCheck(bare), { ...identityCheck({}), event_data: bare }]) {
      const { alerts, executions } = decisionOn(stored);
      expect(alerts).toEqual([]);
      expect(executions).toMatchObject([
        {
          policyId: 'kyc_policy_moonpay',
          policyType: 'kyc_policy',
          actionType: 'rule_passed',
          entityType: 'customer',
          entityId: 'customer_1',
          ruleResults: { result: 'clear', checkId: 'check_1' },
          correlationId: `evt_${stored.id}`,
        },
      ]);
    }
  });

  test('a check that is rejected and escalated is one matter, and both rules are in the log', () => {
    const { alerts, executions } = decisionOn(
      identityCheck({
        result: 'rejected',
        rejectType: 'final',
        rejectLabels: 'Document Expired',
        escalationReasons: ['pep'],
      }),
    );
    expect(alerts).toMatchObject([
      {
        alertType: 'kyc_verification',
        severity: 'high',
        title: 'Identity check rejected',
        customerId: 'customer_1',
        dedupeKey: 'moonpay:sandbox:identity_check:check_1:rejected',
        details: {
          rules: ['identity_rejected', 'identity_escalated'],
          rejectType: 'final',
          rejectLabels: ['Document Expired'],
          escalationReasons: ['pep'],
        },
      },
    ]);
    expect(executions.map(({ ruleConditions }) => ruleConditions)).toMatchObject([
      { rule: 'identity_rejected' },
      { rule: 'identity_escalated' },
    ]);
  });

  test('one transaction can be two matters; its alerts name it', () => {
    const { alerts } = decisionOn(transaction(failedStage('stage_four_delivery', 'rejected_other')));
    expect(alerts.map(({ dedupeKey, transactionId }) => [dedupeKey, transactionId])).toEqual([
      ['moonpay:sandbox:failed_rejected:tx_1', 'tx_1'],
      ['moonpay:sandbox:charged_not_delivered:tx_1', 'tx_1'],
    ]);
  });

  test('an event without an id to go by is a matter of its own', () => {
    const { alerts } = decisionOn(event({ event_name: 'moonpay.refunded', entity_type: null, entity_id: null }));
    expect(alerts[0]?.dedupeKey).toBe('moonpay:sandbox:refunded:0190d6f0-0000-7000-8000-000000000001');
  });

  test('whatever an event holds, what is written about it is valid', () => {
    fc.assert(
      fc.property(arbitraryEvent, (arbitrary) => {
        const { alerts, executions } = decisionOn(event(arbitrary));
        for (const alert of alerts) newAlertSchema.parse(alert);
        for (const execution of executions) policyExecutionSchema.parse(execution);
      }),
      { numRuns: 2000 },
    );
  });
});
