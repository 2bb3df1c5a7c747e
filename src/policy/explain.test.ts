import { expect, test } from 'vitest';
import type { DecisionSummary, PolicySummary } from './decisionRows.ts';
import { explain } from './explain.ts';

const policy: PolicySummary = {
  policy: 'card_velocity',
  version: 2,
  mode: 'active',
  outcome: 'review',
  score: undefined,
  waived_by: undefined,
  hits: [],
  errors: [],
};
const hit = {
  rule: 'many_cards',
  outcome: 'review',
  values: { 'aggregates.cards_24h': 4, 'event.country': 'GBR' },
} as const;

function explained(told: Partial<PolicySummary>, reason?: string, outcome: DecisionSummary['outcome'] = 'review') {
  const summary: DecisionSummary = {
    outcome,
    digest: '',
    evaluated: 1,
    hits: 1,
    errors: 0,
    policies: [{ ...policy, ...told }],
  };
  const rows = ['many_cards', 'limit'].map((rule) => ({
    policyId: 'card_velocity',
    policyName: 'Card velocity',
    policyVersion: 2,
    ruleConditions: { rule, source: 'aggregates.cards_24h > 3' },
    reason: reason ?? null,
  }));
  return explain(summary, rows);
}

test.each<[what: string, policy: Partial<PolicySummary>, description: string | undefined, sentence: string]>([
  [
    'a hit with words of its own',
    { hits: [hit] },
    'the customer used 4 cards within 24 hours.',
    'Card velocity asks for a review: the customer used 4 cards within 24 hours.',
  ],
  [
    'a hit without',
    { hits: [hit] },
    undefined,
    'Card velocity asks for a review: the rule many_cards is met, for aggregates.cards_24h is 4 and event.country is GBR.',
  ],
  [
    'a hit without values',
    { hits: [{ ...hit, values: {}, outcome: 'block' }] },
    undefined,
    'Card velocity blocks it: the rule many_cards is met.',
  ],
  [
    'a hit that was waived',
    { hits: [{ ...hit, outcome: 'allow', waived_by: 'w1' }] },
    'many cards',
    'Card velocity allows it: many cards, waived by w1.',
  ],
  [
    'an error',
    { errors: [{ rule: 'limit', outcome: 'block', error: 'event.fiat is absent' }] },
    undefined,
    'Card velocity blocks it: its rule limit could not be evaluated (event.fiat is absent).',
  ],
  [
    'a version on trial',
    { mode: 'shadow', hits: [{ ...hit, outcome: 'approval_required' }] },
    'many cards',
    'On trial, without effect: Card velocity asks for an approval: many cards.',
  ],
])('a sentence for %s', (_, told, description, sentence) => {
  expect(explained(told, description).sentences).toEqual(['To be reviewed.', sentence]);
});

test('sentences for a score', () => {
  const { rule, values } = hit;
  const told = { score: 40, outcome: 'approval_required', hits: [{ rule, values, score: 40 }] } as const;
  expect(explained(told, 'many cards', 'approval_required').sentences).toEqual([
    'Needs the approval of another person.',
    'Card velocity adds 40 to the score: many cards.',
    'Card velocity comes to a score of 40 and asks for an approval.',
  ]);
});

test.each<[DecisionSummary['outcome'], string]>([
  ['allow', 'Allowed.'],
  ['review', 'To be reviewed.'],
  ['approval_required', 'Needs the approval of another person.'],
  ['block', 'Blocked.'],
])('the first sentence for %s', (outcome, sentence) => {
  expect(explained({}, undefined, outcome).sentences).toEqual([sentence]);
});

test('the same as data', () => {
  expect(explained({ hits: [hit] }, 'many cards').policies).toEqual([
    {
      policy: 'card_velocity',
      name: 'Card velocity',
      version: 2,
      mode: 'active',
      outcome: 'review',
      rules: [
        {
          rule: 'many_cards',
          description: 'many cards',
          source: 'aggregates.cards_24h > 3',
          values: { 'aggregates.cards_24h': 4, 'event.country': 'GBR' },
          outcome: 'review',
        },
      ],
    },
  ]);
});
