import type { Worker } from 'bullmq';
import { chunksOf, type DeliveryJob, type JobQueue } from './jobQueue.ts';
import { startRedis } from './redis.ts';

const QUEUE = 'deliveries';
const NAME = 'deliver';

export interface BullmqSettings {
  readonly concurrency: number;
  /** Whether ioredis sends the commands of one turn of the event loop together. */
  readonly enableAutoPipelining?: boolean;
}

/** BullMQ on a Redis of its own: one worker. Jobs that fail are tried again at once. */
export async function openBullmq({ concurrency, enableAutoPipelining = false }: BullmqSettings): Promise<JobQueue> {
  const { Queue, Worker } = await import('bullmq');
  const redis = await startRedis();
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null, enableAutoPipelining };
  const queue = new Queue<DeliveryJob>(QUEUE, { connection, defaultJobOptions: { attempts: 16 } });
  await queue.waitUntilReady();
  let worker: Worker<DeliveryJob, void> | undefined;

  return {
    refill: async (jobs) => {
      await queue.obliterate({ force: true });
      for (const chunk of chunksOf(jobs)) await queue.addBulk(chunk.map((data) => ({ name: NAME, data })));
    },
    add: async (job) => {
      await queue.add(NAME, job);
    },
    start: async (deliver) => {
      worker = new Worker<DeliveryJob, void>(QUEUE, (job) => deliver(job.data, job.attemptsMade + 1), {
        connection,
        concurrency,
      });
      worker.on('error', (error) => console.error('BullMQ:', error.message));
      await worker.waitUntilReady();
    },
    stop: async () => {
      await worker?.close();
    },
    countUnfinished: () => queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized', 'failed'),
    redisProcessId: redis.processId,
  };
}
