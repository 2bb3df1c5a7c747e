import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { monotonicMs } from '../clock.ts';
import type { Percentiles } from '../rounds.ts';
import { percentile } from '../statistics.ts';

/** Rows that come into the policy log one by one. */
export interface InsertStream {
  /** When so many are there. */
  readonly atLeast: (count: number) => Promise<void>;
  readonly stop: () => void;
  /** Once it is stopped: from when each was due until it was committed. */
  readonly times: () => Promise<Percentiles & { readonly count: number }>;
}

/** Inserts at a steady pace, whether or not the ones before are done: one that waits makes nobody else late. */
export function insertSteadily(db: Db, perSecond: number): InsertStream {
  const startedAt = monotonicMs();
  const times: number[] = [];
  const progress = new EventTarget();
  let isStopped = false;

  async function run(): Promise<void> {
    const under: Promise<void>[] = [];
    for (let place = 0; ; place++) {
      if (isStopped) break;
      const dueAt = startedAt + (place * 1_000) / perSecond;
      const dueIn = dueAt - monotonicMs();
      if (dueIn > 0) await sleep(dueIn);
      under.push(
        insertRow(db).then(() => {
          times.push(monotonicMs() - dueAt);
          progress.dispatchEvent(new Event('inserted'));
        }),
      );
    }
    await Promise.all(under);
  }

  const ended = run();
  // Said by `times`.
  ended.catch(() => {});
  return {
    atLeast: async (count) => {
      while (times.length < count) {
        await Promise.race([
          new Promise((resolve) => progress.addEventListener('inserted', resolve, { once: true })),
          ended,
        ]);
      }
    },
    stop: () => {
      isStopped = true;
    },
    times: async () => {
      await ended;
      const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(times, share));
      return { p50: p50 ?? Number.NaN, p95: p95 ?? Number.NaN, p99: p99 ?? Number.NaN, count: times.length };
    },
  };
}

async function insertRow(db: Db): Promise<void> {
  await sql`
    insert into moonpay_policy_logs (policy_id, action_type, entity_type, entity_id, customer_id, rule_results, reason, source)
    values ('velocity', 'rule_triggered', 'customer', 'customer_1', 'customer_1', '{"result": "hit", "values": {"cards": 4}}',
      'The customer used 4 cards within 24 hours', 'bench')
  `.execute(db);
}
