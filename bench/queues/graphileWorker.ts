import type { Runner } from 'graphile-worker';
import { Pool } from 'pg';
import { chunksOf, type DeliveryJob, type JobQueue } from './jobQueue.ts';

const TASK = 'deliver';

declare global {
  namespace GraphileWorker {
    interface Tasks {
      readonly [TASK]: DeliveryJob;
    }
  }
}

export interface GraphileWorkerSettings {
  readonly concurrentJobs: number;
  readonly maxPoolSize: number;
  readonly localQueue?: { readonly size: number };
  /** In milliseconds, for failed jobs too. */
  readonly completeJobBatchDelay?: number;
}

/** graphile-worker: one task. Its own retries wait e^attempts seconds; that is not a setting. */
export async function openGraphileWorker(
  databaseUrl: string,
  { completeJobBatchDelay = -1, localQueue = { size: -1 }, ...settings }: GraphileWorkerSettings,
): Promise<JobQueue> {
  const { Logger, makeWorkerUtils, run } = await import('graphile-worker');
  const pgPool = new Pool({ connectionString: databaseUrl, max: settings.maxPoolSize });
  // As its documentation asks of a pool that is handed over.
  pgPool.on('error', () => {});
  pgPool.on('connect', (client) => client.on('error', () => {}));
  const logger = new Logger(() => () => {}); // it writes a line for each job
  const utilities = await makeWorkerUtils({ pgPool, logger });
  await utilities.migrate();
  let runner: Runner | undefined;

  return {
    refill: async (jobs) => {
      await pgPool.query('delete from graphile_worker._private_jobs');
      for (const chunk of chunksOf(jobs)) {
        await utilities.addJobs(chunk.map((job) => ({ identifier: TASK, payload: job })));
      }
      await pgPool.query('vacuum (analyze) graphile_worker._private_jobs');
    },
    add: async (job) => {
      await utilities.addJob(TASK, job);
    },
    start: async (deliver) => {
      runner = await run({
        pgPool,
        logger,
        noHandleSignals: true,
        preset: {
          worker: {
            ...settings,
            localQueue,
            completeJobBatchDelay,
            failJobBatchDelay: completeJobBatchDelay,
          },
        },
        taskList: {
          [TASK]: (payload, { job }) => deliver(payload, job.attempts),
        },
      });
    },
    stop: async () => {
      await runner?.stop();
    },
    countUnfinished: async () => {
      const { rows } = await pgPool.query<{ unfinished: number }>(
        'select count(*)::integer as unfinished from graphile_worker._private_jobs',
      );
      return rows[0]?.unfinished ?? 0;
    },
  };
}
