import { LogicEngine } from 'json-logic-engine';
import { Engine } from 'json-rules-engine';
import { bindInputs, compilePolicy } from '../../src/policy/compilePolicy.ts';
import type { DecisionInputs } from '../../src/policy/inputs.ts';
import { benchPolicies, benchRules, type Clause } from './rules.ts';

/** How many of all rules hit on a payment of so many minor units. */
export type EvaluateAll = (amount: number) => number | Promise<number>;

/** Ours: checked types, exact money, linear regular expressions, a limit of steps, errors that are results. */
export function cel(): EvaluateAll {
  const policies = benchPolicies('hits', 0).map((document) => {
    const compiled = compilePolicy(document, { version: 1, mode: 'active' });
    if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
    return compiled.policy;
  });
  const ids = policies[0]?.aggregates.map(({ id }) => id) ?? [];
  const lists = { has: () => undefined };
  return (amount) => {
    const bindings = bindInputs(inputsOf(amount, ids), lists);
    let hits = 0;
    for (const { rules } of policies) {
      for (const rule of rules) {
        const result = rule.evaluate(bindings);
        if ('error' in result) throw new Error(result.error);
        if (result.hit) hits++;
      }
    }
    return hits;
  };
}

/** JSON Logic, compiled: no types (`null < 1` holds), doubles, no limits, no errors. */
export function jsonLogic(): EvaluateAll {
  const engine = new LogicEngine();
  const rules = benchRules.map(({ clauses }) =>
    engine.build({ and: clauses.map(({ path, operator, value }) => ({ [operator]: [{ var: path }, value] })) }),
  );
  return (amount) => {
    const facts = factsOf(amount);
    return rules.filter((rule) => rule(facts) === true).length;
  };
}

/** json-rules-engine: asynchronous facts, no types, doubles; an error rejects the whole run. */
export function jsonRulesEngine(): EvaluateAll {
  const operators: Readonly<Record<Clause['operator'], string>> = {
    '>=': 'greaterThanInclusive',
    '<': 'lessThan',
    '==': 'equal',
    in: 'in',
  };
  const engine = new Engine();
  for (const { id, clauses } of benchRules) {
    const conditions = clauses.map(({ path, operator, value }) => {
      const [fact = '', ...rest] = path.split('.');
      return { fact, path: `$.${rest.join('.')}`, operator: operators[operator], value };
    });
    engine.addRule({ conditions: { all: conditions }, event: { type: id } });
  }
  return async (amount) => (await engine.run(factsOf(amount))).events.length;
}

function factsOf(minor: number) {
  return {
    event: { country: 'DEU', fiat: { currency: 'EUR', minor } },
    aggregates: { payments: 7, spent: 700_000, cards: 2, largest: 99_000 },
  };
}

function inputsOf(minor: number, aggregateIds: readonly string[]): DecisionInputs {
  const { event, aggregates } = factsOf(minor);
  const values = Object.values(aggregates);
  return {
    policies: [],
    event: {
      id: 'event',
      name: 'transaction.created',
      environment: 'sandbox',
      at: '2026-11-23T12:00:00.000Z',
      type: 'transaction_created',
      customer_id: 'customer_1',
      country: event.country,
      fiat: { currency: 'EUR', decimals: 2, amount: String(minor / 100), minor: String(minor) },
      stages: [],
      failed_stages: [],
      failure_codes: [],
      fields: {},
    },
    customer: { known: false },
    transaction: { known: false },
    aggregates: Object.fromEntries(aggregateIds.map((id, place) => [id, values[place] ?? 0])),
    lists: {},
    waivers: [],
    now: '2026-11-23T12:00:00.000Z',
  };
}
