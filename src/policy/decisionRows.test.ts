import { describe, expect, test } from 'vitest';
import { hashOf } from './canonicalJson.ts';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import type { DecidedSubject } from './decision.ts';
import { decisionRows, summarize } from './decisionRows.ts';
import type { PolicyDocument, Rule } from './document.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import type { DecisionInputs, PolicyMode, Waiver } from './inputs.ts';

const inputs: DecisionInputs = {
  policies: [],
  event: {
    id: 'e1',
    name: 'transaction.created',
    environment: 'sandbox',
    at: '2026-11-01T10:00:00.000Z',
    type: 'transaction_created',
    entity_type: 'transaction',
    entity_id: 't1',
    customer_id: 'c1',
    country: 'GBR',
    stages: [],
    failed_stages: [],
    failure_codes: [],
    fields: {},
  },
  customer: { known: false },
  transaction: { known: false },
  aggregates: {},
  lists: {},
  waivers: [],
  now: '2026-11-01T10:00:01.000Z',
};

const HIT = 'event.country == "GBR"';
const NO_HIT = 'event.country == "FRA"';
const ERROR = 'event.state == "NY"';

function policy(rules: readonly Partial<Rule>[], rest: Partial<PolicyDocument> = {}, mode: PolicyMode = 'active') {
  const document: PolicyDocument = {
    id: 'sample',
    name: 'Sample',
    type: 'aml_policy',
    applies_to: { events: ['*'] },
    rules: rules.map((rule, place) => ({ id: `r${place + 1}`, when: HIT, ...rule })),
    ...rest,
  };
  const compiled = compilePolicy(document, { version: 3, mode });
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.policy;
}

function decided(policies: readonly CompiledPolicy[], waivers: readonly Waiver[] = []): DecidedSubject {
  const { event } = inputs;
  return {
    decisionId: 'd1',
    subject: { eventId: event.id, event, correlationId: 'evt_e1', requestedBy: 'system' },
    ...evaluatePolicies(policies, { ...inputs, waivers }, { has: () => undefined }),
  };
}

const rowsOf = (...given: Parameters<typeof decided>) => decisionRows(decided(...given));
/** The row of the only rule. */
const ruleRowOf = (...given: Parameters<typeof decided>) => rowsOf(...given)[1];

test('where no policy applies there are no rows', () => {
  expect(rowsOf([])).toEqual([]);
  expect(rowsOf([policy([{}], { jurisdictions: ['FRA'] })])).toEqual([]);
});

describe('the row that sums a decision up', () => {
  test('is the decision, with its inputs, its digest, and what hit', () => {
    const one = decided([policy([{ outcome: 'block' }, { when: NO_HIT }, { when: ERROR }])]);
    expect(decisionRows(one)[0]).toMatchObject({
      id: 'd1',
      decisionId: 'd1',
      policyId: 'moonguard_decision',
      entityType: 'transaction',
      entityId: 't1',
      customerId: 'c1',
      transactionId: 't1',
      correlationId: 'evt_e1',
      triggeredBy: 'transaction.created',
      executedBy: 'system',
      inputs: { ...inputs, policies: [['sample', 3, 'active']] },
      ruleResults: {
        outcome: 'block',
        digest: hashOf(one.decision),
        evaluated: 3,
        hits: 1,
        errors: 1,
        policies: [
          {
            policy: 'sample',
            version: 3,
            mode: 'active',
            outcome: 'block',
            hits: [{ rule: 'r1', outcome: 'block', values: { 'event.country': 'GBR' } }],
            errors: [{ rule: 'r3', outcome: 'review', error: expect.any(String) }],
          },
        ],
      },
    });
  });

  test.each<
    [rule: Partial<Rule>, actionType: string, executionStatus: string, severity: string, requiresAction: boolean]
  >([
    [{ when: NO_HIT }, 'rule_passed', 'success', 'info', false],
    [{ outcome: 'review' }, 'review_initiated', 'success', 'warning', true],
    [{ outcome: 'approval_required' }, 'approval_required', 'success', 'warning', true],
    [{ outcome: 'block' }, 'violation_detected', 'success', 'error', true],
    [{ when: ERROR }, 'review_initiated', 'warning', 'warning', true],
  ])('says what came out: %o is %s', (rule, actionType, executionStatus, severity, requiresAction) => {
    expect(rowsOf([policy([rule])])[0]).toMatchObject({ actionType, executionStatus, severity, requiresAction });
  });

  test('does not count what a shadow version says', () => {
    expect(rowsOf([policy([{ outcome: 'block' }, { when: ERROR }], {}, 'shadow')])[0]).toMatchObject({
      actionType: 'rule_passed',
      executionStatus: 'success',
      ruleResults: { outcome: 'allow', evaluated: 2, hits: 0, errors: 0, policies: [{ mode: 'shadow' }] },
    });
  });

  test('is kept as long as any row of the decision', () => {
    const short = policy([{}], { retention: { days: 30, class: 'short' } });
    const long = policy([{}], { id: 'other', retention: { days: 3653, class: 'ofac' } });
    expect(rowsOf([short])[0]).toMatchObject({ retentionPeriodDays: 30, retentionClass: 'short' });
    expect(rowsOf([long, short])[0]).toMatchObject({ retentionPeriodDays: 3653, retentionClass: 'ofac' });
  });
});

describe('the row of a rule', () => {
  test('is there for hits and errors, or for every rule', () => {
    const rules = [{}, { when: NO_HIT }, { when: ERROR }];
    const actions = (log: 'hits' | 'every_rule') =>
      rowsOf([policy(rules, { log })])
        .slice(1)
        .map((row) => row.actionType);
    expect(actions('hits')).toEqual(['rule_triggered', 'rule_failed']);
    expect(actions('every_rule')).toEqual(['rule_triggered', 'rule_passed', 'rule_failed']);
  });

  test('says what was asked, what came out, and why', () => {
    const compiled = policy([{ outcome: 'review', description: 'the country is {event.country}' }]);
    expect(ruleRowOf([compiled])).toMatchObject({
      decisionId: 'd1',
      policyId: 'sample',
      policyName: 'Sample',
      policyType: 'aml_policy',
      policyVersion: 3,
      actionType: 'rule_triggered',
      executionStatus: 'success',
      ruleConditions: { rule: 'r1', version: 3, hash: compiled.rules[0]?.hash, source: HIT },
      ruleResults: { result: 'hit', outcome: 'review', values: { 'event.country': 'GBR' } },
      reason: 'the country is GBR',
      metadata: { environment: 'sandbox' },
    });
    expect(ruleRowOf([compiled])).not.toHaveProperty('inputs');
  });

  const alert = { type: 'aml_screening', severity: 'critical', title: 'Screened' } as const;
  const waiver: Waiver = { id: 'w1', kind: 'exception', policy: 'sample', rule: null };
  test.each<[what: string, policy: CompiledPolicy, waivers: Waiver[], expected: object]>([
    ['an alert', policy([{ alert }]), [], { severity: 'critical', complianceImpact: 'critical', requiresAction: true }],
    [
      'an alert that only tells',
      policy([{ alert, outcome: 'allow' }]),
      [],
      { complianceImpact: 'critical', requiresAction: true },
    ],
    ['no alert', policy([{ outcome: 'block' }]), [], { complianceImpact: 'high', requiresAction: true }],
    ['an error', policy([{ when: ERROR, alert }]), [], { executionStatus: 'failure', complianceImpact: 'medium' }],
    [
      'a shadow version',
      policy([{ alert }], {}, 'shadow'),
      [],
      { requiresAction: false, metadata: { environment: 'sandbox', mode: 'shadow' } },
    ],
    [
      'a waiver',
      policy([{ alert }]),
      [waiver],
      {
        executionStatus: 'skipped',
        complianceImpact: 'none',
        requiresAction: false,
        ruleResults: { result: 'hit', outcome: 'allow', waived_by: 'w1' },
      },
    ],
    [
      'rules that have to hit together, and did not',
      policy([{ alert }, { when: NO_HIT }], { evaluation: { mode: 'all' } }),
      [],
      { actionType: 'rule_triggered', complianceImpact: 'none', requiresAction: false },
    ],
  ])('weighs as much as what follows: %s', (_, compiled, waivers, expected) => {
    expect(ruleRowOf([compiled], waivers)).toMatchObject(expected);
  });

  test('is there for the condition of the policy itself, when it erred', () => {
    const compiled = policy([{ when: NO_HIT }], { applies_to: { events: ['*'], when: ERROR }, on_error: 'block' });
    const [summary, row] = rowsOf([compiled]);
    expect(summary?.ruleResults).toMatchObject({
      outcome: 'block',
      errors: 1,
      policies: [{ errors: [{ rule: 'applies_to.when' }] }],
    });
    expect(row).toMatchObject({
      actionType: 'rule_failed',
      ruleConditions: { rule: 'applies_to.when', source: ERROR },
      ruleResults: { result: 'error', outcome: 'block' },
    });
  });

  test('that came after the one that decided is skipped', () => {
    const rows = rowsOf([policy([{}, {}], { evaluation: { mode: 'first' }, log: 'every_rule' })]);
    expect(rows[2]).toMatchObject({ executionStatus: 'skipped', ruleResults: { result: 'skipped' } });
  });
});

test('a digest tells every result apart, also those that are not told', () => {
  const digest = (when: string) => summarize(decided([policy([{ when: NO_HIT }, { when }])])).digest;
  expect(digest(NO_HIT)).toBe(digest('event.country == "DEU"'));
  expect(digest(NO_HIT)).not.toBe(digest(HIT));
});
