import { parseArgs } from 'node:util';
import type { Database } from '../src/database/database.ts';

export const benchNames = ['delivery', 'ingest', 'latency'] as const;
export type BenchName = (typeof benchNames)[number];

export interface BenchArguments {
  readonly bench: BenchName;
  readonly n: number;
  readonly rounds: number;
  readonly json: boolean;
  readonly database: Database['kind'];
}

export const usage = `npm run bench -- ${benchNames.join('|')} [options]

  delivery   deliveries a second that are due in the database, until their results are committed
  ingest     signed webhooks a second that are verified, stored with 3 deliveries, and answered
  latency    milliseconds from receiving an event to its arrival at the endpoint, at 200 events/s

  --n N           how many, a round (default 20000; latency 1000)
  --rounds R      how often each variant is measured (default 5; 1 when N is at most 100)
  --database D    postgres (default) or embedded
  --json          the result as JSON, on the last line of output

Variables: DATABASE_URL, a PostgreSQL where a database for the bench may be created; without it one is started.
`;

/** @throws Error saying which argument is wrong */
export function parseArguments(args: string[]): BenchArguments {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      n: { type: 'string' },
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      database: { type: 'string', default: 'postgres' },
    },
  });
  const [name, ...others] = positionals;
  const bench = benchNames.find((known) => known === name);
  if (bench === undefined || others.length > 0) throw new Error(`Name one bench: ${benchNames.join(', ')}.`);
  const { database, json } = values;
  if (database !== 'postgres' && database !== 'embedded') throw new Error('--database is postgres or embedded.');
  const n = count('--n', values.n) ?? (bench === 'latency' ? 1_000 : 20_000);
  return { bench, n, rounds: count('--rounds', values.rounds) ?? (n <= 100 ? 1 : 5), json, database };
}

function count(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new Error(`${option} is a whole number from 1 on.`);
  return Number(text);
}
