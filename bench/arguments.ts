import { parseArgs } from 'node:util';
import type { Database } from '../src/database/database.ts';
import { type ScenarioName, scenarioNames } from './delivery/scenario.ts';

export const benchNames = [
  'delivery',
  'ingest',
  'latency',
  'history',
  'alerts',
  'policies',
  'policy-log',
  'audit',
  'retention',
] as const;
export type BenchName = (typeof benchNames)[number];

export interface BenchArguments {
  readonly bench: BenchName;
  readonly n: number;
  readonly rounds: number;
  readonly json: boolean;
  readonly database: Database['kind'];
  /** Of the delivery bench. */
  readonly scenario: ScenarioName;
  /** Names of the variants to measure; undefined: all. */
  readonly only: readonly string[] | undefined;
}

export const usage = `npm run bench -- ${benchNames.join('|')} [options]

  delivery   deliveries a second that are due in the database, until their results are committed
  ingest     signed webhooks a second that are verified, stored with 3 deliveries, and answered
  latency    milliseconds from receiving an event to its arrival at the endpoint, at 200 events/s
  history    milliseconds of a claim with N settled deliveries in the table, and with none
  alerts     milliseconds, at p95, of lists, filters, searches, counts and new alerts, beside N alerts
  policies   events a second through 20 policies of 5 rules with 4 aggregates; milliseconds of policies.evaluate
  policy-log rows a second of logPolicyExecution, in batches and from single callers
  audit      rows a second into the policy log with the audit log and without it, and what the audit log does by itself
  retention  milliseconds, at p99, of inserts at 500 rows/s while N expired rows are removed, and while none are

  --n N           how many, a round (default 20000; latency 1000; history 1000000 settled deliveries,
                  alerts 1000000; policies 2000; policy-log 50000; audit 20000;
                  retention 1000000 expired rows)
  --rounds R      how often each variant is measured (default 5; 1 when N is at most 100)
  --scenario S    delivery only; how the endpoints answer:
                    fast       200 at once (default)
                    slow       1 % of the answers take 2 s
                    delayed    every answer takes 50 ms
                    failing    10 % of the deliveries are refused with 500 at first, and tried again at once
                    endpoints  100 endpoints: 89 answer at once, 10 with 500 always, one never; the rate of the 89
  --only A,B      only these variants
  --database D    postgres (default) or embedded, which has no peers
  --json          the result as JSON, on the last line of output
  --help          this text

Variables: DATABASE_URL, a PostgreSQL where a database for the bench may be created; without it one is started.
BullMQ is measured when redis-server is installed; the bench starts one of its own.
What the variants do and how to read the figures: docs/benchmarks.md.
`;

export const defaultN: Readonly<Record<BenchName, number>> = {
  delivery: 20_000,
  ingest: 20_000,
  latency: 1_000,
  history: 1_000_000,
  alerts: 1_000_000,
  policies: 2_000,
  'policy-log': 50_000,
  audit: 20_000,
  retention: 1_000_000,
};

/**
 * @returns undefined when only the usage is asked for
 * @throws Error saying which argument is wrong
 */
export function parseArguments(args: string[]): BenchArguments | undefined {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      n: { type: 'string' },
      rounds: { type: 'string' },
      scenario: { type: 'string' },
      only: { type: 'string' },
      database: { type: 'string', default: 'postgres' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const [name, ...others] = positionals;
  const bench = benchNames.find((known) => known === name);
  if (bench === undefined || others.length > 0) throw new Error(`Name one bench: ${benchNames.join(', ')}.`);
  const { database, json } = values;
  if (database !== 'postgres' && database !== 'embedded') throw new Error('--database is postgres or embedded.');
  if (values.scenario !== undefined && bench !== 'delivery') throw new Error('--scenario is for delivery.');
  if ((bench === 'alerts' || bench === 'audit' || bench === 'retention') && database === 'embedded')
    throw new Error(`${bench} is measured on PostgreSQL.`);
  const scenario = scenarioNames.find((known) => known === (values.scenario ?? 'fast'));
  if (scenario === undefined) throw new Error(`--scenario is one of ${scenarioNames.join(', ')}.`);
  const n = count('--n', values.n) ?? defaultN[bench];
  const rounds = count('--rounds', values.rounds) ?? (n <= 100 ? 1 : 5);
  return { bench, n, rounds, json, database, scenario, only: values.only?.split(',') };
}

function count(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new Error(`${option} is a whole number from 1 on.`);
  return Number(text);
}
