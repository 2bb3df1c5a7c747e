import type { Aggregate, PolicyDocument, Rule } from '../../src/policy/document.ts';

const POLICIES = 20;
const RULES = 5;
export const RULES_AN_EVENT = POLICIES * RULES;

/** Amounts of the events, in minor units, go from 0 to here; each rule hits in a hundredth of it. */
export const AMOUNTS = 100_000;
const HIT_WIDTH = AMOUNTS / 100;

/** One comparison, which CEL, JSON Logic and the rules of json-rules-engine can all say. */
export interface Clause {
  /** Of the facts: `event.fiat.minor`. */
  readonly path: string;
  readonly operator: '>=' | '<' | '==' | 'in';
  readonly value: number | string | readonly string[];
}

export interface BenchRule {
  readonly id: string;
  readonly policy: number;
  /** All of them together. */
  readonly clauses: readonly Clause[];
  /** Where the amounts begin that it hits. */
  readonly hitsFrom: number;
}

const firstClauses: readonly Clause[] = [
  { path: 'aggregates.payments', operator: '>=', value: 0 },
  { path: 'event.country', operator: 'in', value: ['GBR', 'FRA', 'DEU', 'USA'] },
  { path: 'event.fiat.currency', operator: '==', value: 'EUR' },
  { path: 'aggregates.spent', operator: '>=', value: 0 },
  { path: 'aggregates.cards', operator: '>=', value: 1 },
];

/** All rules of all policies: the first clause always holds, the others for one amount in a hundred. */
export const benchRules: readonly BenchRule[] = Array.from({ length: RULES_AN_EVENT }, (_, place) => {
  const hitsFrom = place * HIT_WIDTH;
  const first = firstClauses[place % firstClauses.length];
  return {
    id: `rule_${place}`,
    policy: Math.floor(place / RULES),
    hitsFrom,
    clauses: [
      ...(first === undefined ? [] : [first]),
      { path: 'event.fiat.minor', operator: '>=', value: hitsFrom },
      { path: 'event.fiat.minor', operator: '<', value: hitsFrom + HIT_WIDTH },
    ],
  };
});

export function hits({ hitsFrom }: BenchRule, amount: number): boolean {
  return amount >= hitsFrom && amount < hitsFrom + HIT_WIDTH;
}

/** Shared by all policies, so that they are four an event. */
const aggregates: Aggregate[] = [
  { name: 'payments', function: 'count', key: 'customer', window: '24h' },
  { name: 'spent', function: 'sum', of: 'fiat', key: 'customer', window: '7d' },
  { name: 'cards', function: 'distinct', of: 'card', key: 'customer', window: '30d' },
  { name: 'largest', function: 'max', of: 'fiat', key: 'wallet', window: '7d' },
];

/** @param alertingRules how many of the rules raise an alert where they hit */
export function benchPolicies(log: NonNullable<PolicyDocument['log']>, alertingRules: number): PolicyDocument[] {
  return Array.from({ length: POLICIES }, (_, policy) => ({
    id: `bench_${policy}`,
    name: `Bench ${policy}`,
    type: 'transaction_limit',
    applies_to: { events: ['transaction.created', 'request.*'] },
    log,
    aggregates,
    rules: benchRules
      .filter((rule) => rule.policy === policy)
      .map((rule): Rule => {
        const isAlerting = benchRules.indexOf(rule) < alertingRules;
        const alert = { type: 'transaction_monitoring', severity: 'medium', title: 'Measured' } as const;
        return { id: rule.id, when: rule.clauses.map(celOf).join(' && '), ...(isAlerting && { alert }) };
      }),
  }));
}

function celOf({ path, operator, value }: Clause): string {
  return `${path} ${operator} ${JSON.stringify(value)}`;
}
