import { Pool } from 'pg';
import type { BenchDatabase } from '../database.ts';
import type { LocalReceiver } from '../receiver.ts';
import type { Measurement } from '../rounds.ts';
import { prepareAttempts } from './attemptLog.ts';
import { openDelivering, type Style } from './deliver.ts';
import type { Deliver, DeliveryJob, JobQueue } from './jobQueue.ts';

/** A library with its settings. */
export interface Peer {
  readonly name: string;
  readonly style: Style;
  readonly openQueue: (databaseUrl: string) => Promise<JobQueue>;
}

/** What a round with a peer begins with. */
export interface PeerRound {
  /** Holds the jobs; nobody works on them yet. */
  readonly queue: JobQueue;
  readonly deliver: Deliver;
  /** Of the database with the attempts, of which there are none yet. */
  readonly pool: Pool;
}

export interface PeerScenario {
  readonly database: BenchDatabase;
  readonly receiver: Pick<LocalReceiver, 'url'>;
  readonly connections: number;
}

/** Measures a round that begins with these jobs in the queue. */
export type MeasureJobs = (
  jobs: readonly DeliveryJob[],
  measureRound: (round: PeerRound) => Promise<Measurement>,
) => Promise<Measurement>;

/** Opens the peer's queue once, for every round. */
export async function openPeer(
  { style, openQueue }: Peer,
  { database, receiver, connections }: PeerScenario,
): Promise<MeasureJobs> {
  if (database.server === undefined) throw new Error('The peers need PostgreSQL.');
  const pool = new Pool({ connectionString: database.server.url });
  const queue = await openQueue(database.server.url);
  return async (jobs, measureRound) => {
    await queue.refill(jobs);
    await prepareAttempts(pool);
    const { deliver, close } = openDelivering(style, { url: receiver.url, connections, pool });
    try {
      return await measureRound({ queue, deliver, pool });
    } finally {
      await queue.stop();
      await close();
    }
  };
}
