import { basename } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newAlertSchema } from '../compliance/alertInput.ts';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import { consequencesOf } from './consequences.ts';
import type { Subject } from './decision.ts';
import { defaultPolicyFiles } from './defaultPolicies.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import { eventInputOf, type StoredEvent } from './eventInput.ts';
import { documentOfFile } from './policyFiles.ts';
import { runCases } from './runCases.ts';

const event = (more: Partial<StoredEvent>, body: unknown = {}): StoredEvent => ({
  id: '0190d6f0-0000-7000-8000-000000000001',
  environment: 'sandbox',
  event_name: 'transaction.updated',
  event_type: 'transaction_updated',
  entity_type: 'transaction',
  entity_id: 'tx_1',
  at: new Date('2026-11-01T10:00:00Z'),
  json: JSON.stringify(body),
  ...more,
});

const check = {
  event_name: 'customer.kyc_updated',
  event_type: 'identity_check_updated',
  entity_type: 'customer',
  entity_id: 'customer_1',
} as const;
const identityCheck = (data: object): StoredEvent =>
  event(check, { type: check.event_type, data: { id: 'check_1', customerId: 'customer_1', ...data } });

const transaction = (data: object): StoredEvent => event({}, { data: { customerId: 'c1', ...data } });

const failedStage = (stage: string, failureReason: string | null): object => ({
  stages: [
    { stage: 'stage_one_ordering', status: 'success', failureReason: null },
    { stage, status: 'failed', failureReason },
  ],
});

const policies: readonly CompiledPolicy[] = defaultPolicyFiles().map((file) => {
  const compiled = compilePolicy(documentOfFile(file), { version: 1, mode: 'active' });
  if ('problems' in compiled) throw new Error(`${file}: ${JSON.stringify(compiled.problems)}`);
  return compiled.policy;
});

function decisionOn(stored: StoredEvent) {
  const { event: input, absent } = eventInputOf(stored);
  const subject: Subject = {
    eventId: stored.id,
    event: input,
    absent,
    correlationId: `evt_${stored.id}`,
    requestedBy: 'system',
  };
  const inputs = {
    policies: [],
    event: input,
    customer: { known: false },
    transaction: { known: false },
    aggregates: {},
    lists: {},
    waivers: [],
    now: '2026-11-01T10:00:00Z',
    absent,
  };
  const evaluated = evaluatePolicies(policies, inputs, { has: () => undefined });
  const rules = evaluated.decision.policies.flatMap((result) => result.rules);
  const { alerts } = consequencesOf({ decisionId: stored.id, subject, ...evaluated });
  return {
    decision: evaluated.decision,
    hits: rules.filter(({ result }) => result === 'hit').map(({ rule }) => rule),
    errors: rules.filter(({ result }) => result === 'error'),
    alerts,
  };
}

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
  json: fc
    .oneof(data, fc.record({ data: fc.oneof(data, anything), externalCustomerId: anything }), anything)
    .map((body) => JSON.stringify(body)),
});

describe('each default policy', () => {
  test.each(defaultPolicyFiles().map((file) => [basename(file), file]))('%s passes its own cases', (name, file) => {
    const document = documentOfFile(file);
    const cases = runCases(document);

    expect(`${document.id}.yaml`).toBe(name);
    expect(cases.filter(({ problems }) => problems.length > 0)).toEqual([]);
    const hit = new Set(cases.flatMap(({ hits }) => hits));
    expect([...hit].toSorted(), 'every rule is hit by a case').toEqual(
      document.rules.map((rule) => rule.id).toSorted(),
    );
  });
});

describe("the default policies on MoonPay's events", () => {
  test.each<[string, StoredEvent, string[], string]>([
    ['rejected for good', identityCheck({ result: 'rejected', rejectType: 'final' }), ['identity_rejected'], 'high'],
    ['rejected, no type', identityCheck({ result: 'rejected' }), ['identity_rejected'], 'high'],
    [
      'rejected, old type',
      identityCheck({ result: 'rejected', rejectType: 'external' }),
      ['identity_rejected'],
      'high',
    ],
    ['try again', identityCheck({ result: 'rejected', rejectType: 'retry' }), ['identity_rejected_retry'], 'medium'],
    ['odd spaces', identityCheck({ result: 'rejected ', rejectType: ' retry' }), ['identity_rejected_retry'], 'medium'],
    ['escalated', identityCheck({ escalationReasons: ['kyc_review'] }), ['identity_escalated'], 'medium'],
    ['as text', identityCheck({ result: 'clear', escalationReasons: 'pep' }), ['identity_escalated'], 'medium'],
    ['rejected_kyc', transaction(failedStage('stage_two', 'rejected_kyc')), ['failed_kyc_rejected'], 'medium'],
    ['kyc_rejected at the top', transaction({ failureReason: 'kyc_rejected' }), ['failed_kyc_rejected'], 'medium'],
    ['timeout', transaction({ failureReason: 'timeout_kyc_verification' }), ['failed_kyc_timeout'], 'low'],
    ['rejected_other', transaction({ failureReason: 'rejected_other' }), ['failed_rejected'], 'medium'],
    ['limit', transaction({ failureReason: 'daily_purchase_limit_exceeded' }), ['failed_daily_limit'], 'medium'],
    ['stage four', transaction(failedStage('stage_four_delivery', null)), ['charged_not_delivered'], 'high'],
    ['refunded', event({ event_name: 'moonpay.refunded' }), ['refunded'], 'medium'],
    ['chargeback', event({ event_name: 'moonpay.chargeback' }), ['chargeback'], 'high'],
  ])('%s', (_, stored, rules, severity) => {
    const { decision, hits, alerts } = decisionOn(stored);
    expect(hits).toEqual(rules);
    expect(decision.outcome).toBe('review');
    expect(alerts.map((alert) => alert.severity)).toEqual([severity]);
  });

  test.each<[string, StoredEvent]>([
    ['a completed transaction', transaction({ status: 'completed', failureReason: null })],
    ['stage four under way', transaction({ stages: [{ stage: 'stage_four_delivery', status: 'in_progress' }] })],
    ['JSON of no use', event({ entity_type: null, entity_id: null }, [{ data: 1 }])],
    ['no JSON', event({ json: null })],
  ])('no policy applies to %s, so the log says nothing of it', (_, stored) => {
    expect(decisionOn(stored).decision).toEqual({ outcome: 'allow', policies: [] });
  });

  test.each<[string, StoredEvent]>([
    ['a card that was declined', transaction(failedStage('stage_three_processing', 'rejected_card'))],
    ['an identity check under way', identityCheck({ status: 'pending', result: null, escalationReasons: [] })],
    ['a clear identity check', identityCheck({ status: 'completed', result: 'clear', escalationReasons: null })],
    ['one without its envelope', event(check, { id: 'check_1', result: 'clear' })],
  ])('%s is allowed, and in the log', (_, stored) => {
    const { decision, alerts } = decisionOn(stored);
    expect(decision.outcome).toBe('allow');
    expect(decision.policies).toHaveLength(1);
    expect(alerts).toEqual([]);
  });

  test('a check that is rejected and escalated is one matter, as bad as the worse of the two', () => {
    const { alerts } = decisionOn(
      identityCheck({ result: 'rejected', rejectType: 'final', escalationReasons: ['pep'] }),
    );
    expect(alerts).toMatchObject([
      {
        alertType: 'kyc_verification',
        severity: 'high',
        title: 'Identity check rejected',
        customerId: 'customer_1',
        dedupeKey: 'policy:sandbox:identity_check:check_1:rejected',
        details: { rules: ['identity_rejected', 'identity_escalated'] },
      },
    ]);
  });

  test('one transaction can be two matters; its alerts name it', () => {
    const { alerts } = decisionOn(transaction(failedStage('stage_four_delivery', 'rejected_other')));
    expect(alerts.map(({ dedupeKey, transactionId }) => [dedupeKey, transactionId])).toEqual([
      ['policy:compliance_rule_moonpay_failures:failed_rejected:sandbox:tx_1', 'tx_1'],
      ['policy:compliance_rule_moonpay_failures:charged_not_delivered:sandbox:tx_1', 'tx_1'],
    ]);
  });

  test('an event without an id to go by is a matter of its own', () => {
    const { alerts } = decisionOn(event({ event_name: 'moonpay.refunded', entity_type: null, entity_id: null }));
    expect(alerts[0]?.dedupeKey).toMatch(/:sandbox:0190d6f0-0000-7000-8000-000000000001$/);
  });

  test('whatever an event holds, no rule errs and the alerts about it are valid', () => {
    fc.assert(
      fc.property(arbitraryEvent, (arbitrary) => {
        const { errors, alerts } = decisionOn(event(arbitrary));
        expect(errors).toEqual([]);
        for (const alert of alerts) newAlertSchema.parse(alert);
      }),
      { numRuns: 2000 },
    );
  });
});
