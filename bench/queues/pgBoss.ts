import type { Job, JobResult, WorkOptions } from 'pg-boss';
import { chunksOf, type Deliver, type DeliveryJob, type JobQueue } from './jobQueue.ts';

const QUEUE = 'deliveries';

export type PgBossSettings = Pick<WorkOptions, 'batchSize' | 'localConcurrency'> & {
  /** Wakes workers with NOTIFY, as latency needs it. */
  readonly notify?: boolean;
};

/** pg-boss: `work()` with one handler, which answers for each job of its batch; fetches on while batches are full. */
export async function openPgBoss(
  databaseUrl: string,
  { notify = false, ...settings }: PgBossSettings,
): Promise<JobQueue> {
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss({ connectionString: databaseUrl, useListenNotify: notify });
  boss.on('error', (error) => console.error('pg-boss:', error.message));
  await boss.start();
  await boss.createQueue(QUEUE, { notify, retryLimit: 15, retryDelay: 0 });
  const database = boss.getDb();

  return {
    refill: async (jobs) => {
      await boss.deleteAllJobs(QUEUE);
      for (const chunk of chunksOf(jobs)) {
        await boss.insert(
          QUEUE,
          chunk.map((job) => ({ data: job })),
        );
      }
      await database.executeSql('vacuum (analyze) pgboss.job_common');
    },
    add: async (job) => {
      await boss.send(QUEUE, job);
    },
    start: async (deliver) => {
      const options = { ...settings, perJobResults: true, burstWhenBatchFull: true } as const;
      await boss.work<DeliveryJob, unknown, typeof options>(QUEUE, options, (jobs) =>
        Promise.all(jobs.map((job) => resultOf(job, deliver))),
      );
    },
    stop: () => boss.offWork(QUEUE),
    countUnfinished: async () => {
      const { rows } = await database.executeSql(
        `select count(*)::integer as unfinished from pgboss.job where name = $1 and state <> 'completed'`,
        [QUEUE],
      );
      return Number(rows[0]?.unfinished);
    },
  };
}

async function resultOf(job: Job<DeliveryJob>, deliver: Deliver): Promise<JobResult> {
  try {
    await deliver(job.data, job.retryCount + 1);
    return { id: job.id, status: 'completed' };
  } catch (error) {
    return { id: job.id, status: 'failed', output: { message: String(error) } };
  }
}
