import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../src/database/database.ts';
import { decideBatch } from '../../src/policy/decide.ts';
import type { PolicyDocument } from '../../src/policy/document.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import type { BenchDatabase } from '../database.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct } from '../product.ts';
import type { Bench, Measurement, Variant } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import { addEvents, addHistory, amountOf, countWritten, customerOf, type Written } from './rows.ts';
import { benchPolicies, benchRules, hits, RULES_AN_EVENT } from './rules.ts';

/** Events in a batch of the program. */
const BATCH = 100;
const REQUESTS_PER_SECOND = 200;
/** Rules of `hits` that raise an alert: of an event's rules one in a hundred hits, and of the hits one in ten alerts. */
const ALERTING_RULES = 10;

/** Events a second through 20 policies of 5 rules with 4 aggregates; of `evaluate` milliseconds at p99. */
export function policiesBench(): Bench {
  return {
    unit: 'events/s',
    limit: 'rules',
    variants: [decides('every-rule', 'every_rule', 0), decides('hits', 'hits', ALERTING_RULES), evaluates, ...engines],
    least: { 'every-rule': 100, hits: 400 },
    bound: { evaluate: 10 },
  };
}

function decides(name: string, log: NonNullable<PolicyDocument['log']>, alertingRules: number): Variant {
  return {
    name,
    open: async (benchDatabase) => {
      const { database, policies } = await openWithPolicies(benchDatabase, benchPolicies(log, alertingRules));
      return async (n) => {
        await addEvents(database.db, n, 'undecided');
        const amounts = Array.from({ length: n }, (_, place) => amountOf(place));
        const hitting = (rules: typeof benchRules): number =>
          rules.reduce((sum, rule) => sum + amounts.filter((amount) => hits(rule, amount)).length, 0);
        return measure(n, benchDatabase, database, () => decideAll(policies), {
          decisions: n,
          ruleRows: log === 'hits' ? hitting(benchRules) : n * RULES_AN_EVENT,
          alerts: hitting(benchRules.slice(0, alertingRules)),
        });
      };
    },
  };
}

async function decideAll({ deciding }: PolicyService): Promise<void> {
  const dependencies = { ...deciding, observe: () => {} };
  while ((await decideBatch(dependencies, BATCH)) > 0);
}

/** Requests come at a steady pace, whether or not those before are answered. */
const evaluates: Variant = {
  name: 'evaluate',
  unit: 'ms at p99',
  open: async (benchDatabase) => {
    const { database, policies } = await openWithPolicies(benchDatabase, benchPolicies('hits', 0));
    return async (n) => {
      // Connections that were idle for long are closed; a server that is asked all the time has its own open.
      await timesOfRequests(policies, Math.min(n, REQUESTS_PER_SECOND));
      let times: number[] = [];
      const expected = { decisions: n, ruleRows: n, alerts: 0 };
      const request = async (): Promise<void> => {
        times = await timesOfRequests(policies, n);
      };
      const { processorTime } = await measure(n, benchDatabase, database, request, expected);
      const p99 = percentile(times, 0.99);
      return { figure: p99, times: { p50: percentile(times, 0.5), p95: percentile(times, 0.95), p99 }, processorTime };
    };
  },
};

async function timesOfRequests(policies: PolicyService, n: number): Promise<number[]> {
  const startedAt = performance.now();
  const answered: Promise<number>[] = [];
  for (let place = 0; place < n; place++) {
    const dueIn = startedAt + (place * 1_000) / REQUESTS_PER_SECOND - performance.now();
    if (dueIn > 0) await sleep(dueIn);
    const at = performance.now();
    const asked = policies.evaluate({
      environment: 'sandbox',
      name: 'request.payout',
      customerId: customerOf(place),
      cardId: `card_${place}`,
      country: 'DEU',
      fiat: { currency: 'EUR', amount: (amountOf(place) / 100).toFixed(2) },
      wallet: { address: `wallet_${place}` },
    });
    answered.push(asked.then(() => performance.now() - at));
  }
  return Promise.all(answered);
}

/** The rules alone, without database: three engines say the same. */
const engines: Variant[] = [
  engine('rules', 'cel'),
  engine('json-logic-engine', 'jsonLogic'),
  engine('json-rules-engine', 'jsonRulesEngine'),
];

function engine(name: string, maker: 'cel' | 'jsonLogic' | 'jsonRulesEngine'): Variant {
  return {
    name,
    open: async () => {
      const evaluateAll = (await import('./engines.ts'))[maker]();
      return async (n) => {
        const processorTime = startProcessorClock(undefined);
        const startedAt = performance.now();
        let hitting = 0;
        for (let place = 0; place < n; place++) hitting += await evaluateAll(amountOf(place));
        const seconds = (performance.now() - startedAt) / 1000;
        if (hitting !== n) throw new Error(`${hitting} rules hit instead of ${n}.`);
        return { figure: n / seconds, processorTime: processorTime(n) };
      };
    },
  };
}

async function openWithPolicies(
  { open }: BenchDatabase,
  documents: readonly PolicyDocument[],
): Promise<{ readonly database: Database; readonly policies: PolicyService }> {
  const database = await open();
  const { policies } = await openProduct(database);
  for (const document of documents) {
    await policies.versions.saveDraft(document, { actor: 'author' });
    await policies.versions.publish(document.id, undefined, { actor: 'publisher' });
  }
  await addHistory(database.db);
  return { database, policies };
}

async function measure(
  n: number,
  { server }: BenchDatabase,
  { db }: Database,
  work: () => Promise<void>,
  expected: Written,
): Promise<Measurement> {
  const before = await countWritten(db);
  const processorTime = startProcessorClock(server?.databaseName);
  const startedAt = performance.now();
  await work();
  const seconds = (performance.now() - startedAt) / 1000;
  const measurement = { figure: n / seconds, processorTime: processorTime(n) };
  const after = await countWritten(db);
  const written = {
    decisions: after.decisions - before.decisions,
    ruleRows: after.ruleRows - before.ruleRows,
    alerts: after.alerts - before.alerts,
  };
  if (JSON.stringify(written) !== JSON.stringify(expected)) {
    throw new Error(`Written are ${JSON.stringify(written)} instead of ${JSON.stringify(expected)}.`);
  }
  return measurement;
}
