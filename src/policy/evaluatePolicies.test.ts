import { describe, expect, test } from 'vitest';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import type { PolicyDocument } from './document.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import type { DecisionInputs, PolicyMode, Waiver } from './inputs.ts';
import type { ListLookup } from './listLookup.ts';

type Rule = PolicyDocument['rules'][number];

const HIT = 'true';
const NO_HIT = 'false';
/** A field that the event does not have. */
const ERROR = 'event.country == "GBR"';

function policy(
  rules: readonly Partial<Rule>[],
  rest: Partial<PolicyDocument> = {},
  at: { version: number; mode: PolicyMode } = { version: 1, mode: 'active' },
): CompiledPolicy {
  const document: PolicyDocument = {
    id: 'sample',
    name: 'Sample',
    type: 'compliance_rule',
    applies_to: { events: ['*'] },
    rules: rules.map((rule, place) => ({ id: `r${place + 1}`, when: HIT, ...rule })),
    ...rest,
  };
  const compiled = compilePolicy(document, at);
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.policy;
}

const inputs: DecisionInputs = {
  policies: [],
  event: {
    id: 'e1',
    name: 'transaction.created',
    environment: 'sandbox',
    at: '2026-11-01T10:00:00.000Z',
    type: 'transaction_created',
    customer_id: 'c1',
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
const lists: ListLookup = { has: (list, value) => (list === 'blocked' ? value === 'c1' : undefined) };

const decide = (policies: readonly CompiledPolicy[], waivers: readonly Waiver[] = []) =>
  evaluatePolicies(policies, { ...inputs, waivers }, lists).decision;
/** Results of the rules of the only policy, and what it comes to. */
function judged(only: CompiledPolicy, waivers: readonly Waiver[] = []): string {
  const [result] = decide([only], waivers).policies;
  return `${result?.rules.map((rule) => rule.result).join(' ')}: ${result?.outcome}`;
}

describe('modes', () => {
  const block: Partial<Rule> = { outcome: 'block' };
  const allow: Partial<Rule> = { outcome: 'allow' };
  const error: Partial<Rule> = { when: ERROR };
  const noHit: Partial<Rule> = { when: NO_HIT, outcome: 'block' };

  test.each<[name: string, mode: 'any' | 'all' | 'first', rules: Partial<Rule>[], expected: string]>([
    ['no hit', 'any', [noHit, noHit], 'no_hit no_hit: allow'],
    ['the worst hit', 'any', [allow, block, {}], 'hit hit hit: block'],
    ['an error beside a pass', 'any', [allow, error], 'hit error: review'],
    ['an error that blocks', 'any', [{}, { ...error, on_error: 'block' }], 'hit error: block'],
    ['all hit', 'all', [{}, block], 'hit hit: block'],
    ['not all hit', 'all', [block, noHit], 'hit no_hit: allow'],
    ['an error where another rule does not hit', 'all', [error, noHit], 'error no_hit: review'],
    ['an error where the others hit', 'all', [block, error], 'hit error: review'],
    ['the first hit', 'first', [noHit, allow, block], 'no_hit hit skipped: allow'],
    ['an error comes first', 'first', [error, allow], 'error skipped: review'],
    ['none', 'first', [noHit, noHit], 'no_hit no_hit: allow'],
  ])('%s in mode %s', (_name, mode, rules, expected) => {
    expect(judged(policy(rules, { evaluation: { mode } }))).toBe(expected);
  });

  test.each<[score: number, rules: Partial<Rule>[], expected: string]>([
    [0, [{ when: NO_HIT, score: 50 }], 'allow'],
    [49, [{ score: 49 }], 'allow'],
    [50, [{ score: 20 }, { score: 30 }], 'review'],
    [99, [{ score: 99 }], 'review'],
    [100, [{ score: 100 }], 'block'],
    [0, [{ when: ERROR, score: 1 }], 'review'],
    [100, [{ score: 100 }, { when: ERROR, score: 1 }], 'block'],
  ])('a score of %i', (score, rules, outcome) => {
    const thresholds = [
      { at: 100, outcome: 'block' as const },
      { at: 50, outcome: 'review' as const },
    ];
    const [result] = decide([policy(rules, { evaluation: { mode: 'score', thresholds } })]).policies;
    expect(result).toMatchObject({ score, outcome });
  });
});

test('what an error counts as: said by the rule, else by the policy, else review', () => {
  expect(judged(policy([{ when: ERROR }]))).toBe('error: review');
  expect(judged(policy([{ when: ERROR }], { on_error: 'block' }))).toBe('error: block');
  expect(judged(policy([{ when: ERROR, on_error: 'review' }], { on_error: 'block' }))).toBe('error: review');
});

test('an error in the condition of a policy: it applies, and errs', () => {
  const decision = decide([policy([{ when: NO_HIT }], { applies_to: { events: ['*'], when: ERROR } })]);
  expect(decision).toMatchObject({ outcome: 'review', policies: [{ outcome: 'review', error: expect.any(String) }] });
});

test('a policy that does not apply leaves no trace', () => {
  const evaluation = evaluatePolicies([policy([{}], { applies_to: { events: ['swap.*'] } })], inputs, lists);
  expect(evaluation.decision).toEqual({ outcome: 'allow', policies: [] });
  expect(evaluation.inputs.policies).toEqual([]);
});

describe('exceptions and granted approvals', () => {
  const waiver = (rule: string | null, policyId = 'sample'): Waiver => ({
    id: 'w1',
    kind: 'exception',
    policy: policyId,
    rule,
  });
  const blocks = policy([{ outcome: 'block' }]);

  test('a hit stays a hit and counts as allow', () => {
    for (const rule of [null, 'r1']) {
      expect(decide([blocks], [waiver(rule)])).toMatchObject({
        outcome: 'allow',
        policies: [{ rules: [{ result: 'hit', outcome: 'allow', waived_by: 'w1' }] }],
      });
    }
  });
  test('only of the rule and the policy that it names', () => {
    expect(decide([blocks], [waiver('r2')]).outcome).toBe('block');
    expect(decide([blocks], [waiver(null, 'other')]).outcome).toBe('block');
  });
  test('never an error', () => {
    expect(decide([policy([{ when: ERROR }])], [waiver(null)]).outcome).toBe('review');
  });
  test('what a score came to', () => {
    const evaluation = {
      mode: 'score' as const,
      thresholds: [{ at: 10, outcome: 'approval_required' as const }],
    };
    const scored = policy([{ score: 10 }], { evaluation });
    expect(decide([scored]).outcome).toBe('approval_required');
    expect(decide([scored], [waiver('@score')])).toMatchObject({ outcome: 'allow', policies: [{ waived_by: 'w1' }] });
  });
});

test('a shadow version is evaluated and does not count', () => {
  const decision = decide([
    policy([{ outcome: 'block' }], {}, { version: 2, mode: 'shadow' }),
    policy([{ outcome: 'review' }], {}, { version: 1, mode: 'active' }),
  ]);
  expect(decision.outcome).toBe('review');
  expect(decision.policies.map(({ version, mode, outcome }) => [version, mode, outcome])).toEqual([
    [1, 'active', 'review'],
    [2, 'shadow', 'block'],
  ]);
});

test('the order in which policies come changes nothing', () => {
  const policies = ['b', 'a', 'c'].map((id) => policy([{}], { id }));
  expect(decide(policies)).toEqual(decide(policies.toReversed()));
  expect(decide(policies).policies.map((result) => result.policy)).toEqual(['a', 'b', 'c']);
});

test('records what was asked of lists, and a list that is missing is an error', () => {
  const asks = (list: string) => policy([{ when: `event.customer_id in lists.${list}` }], { lists: [list] });
  const evaluation = evaluatePolicies([asks('blocked')], inputs, lists);
  expect(evaluation.decision.outcome).toBe('review');
  expect(evaluation.inputs).toMatchObject({
    policies: [['sample', 1, 'active']],
    lists: { blocked: { c1: true } },
  });
  expect(judged(asks('missing'))).toBe('error: review');
});
