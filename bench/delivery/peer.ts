import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { startProcessorClock } from '../processorTime.ts';
import { checkAttempts, prepareAttempts } from '../queues/attemptLog.ts';
import { openDelivering, type Style } from '../queues/deliver.ts';
import type { Deliver, DeliveryJob, JobQueue } from '../queues/jobQueue.ts';
import type { Measurement, Variant } from '../rounds.ts';
import { makeEvents } from './events.ts';
import { checkHealthyReceived, forgetReceived } from './received.ts';
import { CONNECTIONS, type DeliveryScenario } from './scenario.ts';

/** While the last jobs are being recorded as completed. */
const LOOK_EVERY_MS = 5;

export interface PeerOptions {
  readonly name: string;
  readonly style: Style;
  readonly openQueue: (databaseUrl: string) => Promise<JobQueue>;
}

/** Jobs that are due in a queue, until the last attempt is committed and the last job recorded as completed. */
export function peer(
  scenario: DeliveryScenario,
  databaseUrl: string,
  { name, style, openQueue }: PeerOptions,
): Variant {
  const pool = new Pool({ connectionString: databaseUrl });
  const jobs = makeEvents(scenario.events);
  let queue: JobQueue | undefined;
  return {
    name,
    open: async () => {
      queue = await openQueue(databaseUrl);
    },
    measure: async () => {
      if (queue === undefined) throw new Error(`${name} is not open.`);
      await queue.refill(jobs);
      await prepareAttempts(pool);
      await forgetReceived(scenario);
      const delivering = openDelivering(style, { url: scenario.receiver.url, connections: CONNECTIONS, pool });
      try {
        const measurement = await measureWork(scenario, { queue, jobs, deliver: delivering.deliver });
        const refused = await checkHealthyReceived(scenario);
        await checkAttempts(pool, { delivered: jobs.length, retry: refused });
        return measurement;
      } finally {
        await delivering.close();
      }
    },
    close: async () => {
      await queue?.close();
      await pool.end();
    },
  };
}

interface Work {
  readonly queue: JobQueue;
  readonly jobs: readonly DeliveryJob[];
  readonly deliver: Deliver;
}

async function measureWork({ name, database }: DeliveryScenario, { queue, jobs, deliver }: Work): Promise<Measurement> {
  const delivered = countDelivered(jobs.length, deliver, { mayFail: name === 'failing' });
  const processorTime = startProcessorClock(database.server?.databaseName, queue.redisProcessId);
  const startedAt = performance.now();
  await queue.start(delivered.deliver);
  try {
    await delivered.all;
    while ((await queue.countUnfinished()) > 0) await sleep(LOOK_EVERY_MS);
    const seconds = (performance.now() - startedAt) / 1000;
    return { figure: jobs.length / seconds, processorTime: processorTime(jobs.length) };
  } finally {
    await queue.stop();
  }
}

/** Resolves `all` when so many jobs are delivered and their attempts committed; rejects it when one may not fail, and does. */
function countDelivered(expected: number, deliverOne: Deliver, { mayFail }: { readonly mayFail: boolean }) {
  const { promise: all, resolve, reject } = Promise.withResolvers<void>();
  let left = expected;
  const deliver: Deliver = async (job, attemptNumber) => {
    try {
      await deliverOne(job, attemptNumber);
    } catch (error) {
      if (!mayFail) reject(error);
      throw error;
    }
    left--;
    if (left === 0) resolve();
  };
  return { all, deliver };
}
