import { Pool } from 'pg';
import type { Measurement, Variant } from '../rounds.ts';
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
  readonly databaseUrl: string;
  /** Where every job is posted to. */
  readonly url: string;
  readonly connections: number;
  readonly jobs: readonly DeliveryJob[];
}

/** Opens the peer's queue once, and fills it for every round. */
export function queueVariant(
  { name, style, openQueue }: Peer,
  { databaseUrl, url, connections, jobs }: PeerScenario,
  measureRound: (round: PeerRound) => Promise<Measurement>,
): Variant {
  const pool = new Pool({ connectionString: databaseUrl });
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
      const { deliver, close } = openDelivering(style, { url, connections, pool });
      try {
        return await measureRound({ queue, deliver, pool });
      } finally {
        await queue.stop();
        await close();
      }
    },
    close: async () => {
      await queue?.close();
      await pool.end();
    },
  };
}
