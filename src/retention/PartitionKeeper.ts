import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import { ensurePolicyLogPartitions } from './store/ensurePolicyLogPartitions.ts';

/** Partitions are made months ahead, so a few failed turns do no harm; a row without one goes to the default partition. */
const EVERY_MS = 6 * 60 * 60 * 1000;

/** Keeps partitions of the policy log ahead of time. Several processes may do it at once. */
export class PartitionKeeper {
  readonly #database: Database;
  readonly #observe: Observe;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ database, observe }: { readonly database: Database; readonly observe: Observe }) {
    this.#database = database;
    this.#observe = observe;
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#running = this.#run();
    }, EVERY_MS);
    await this.#run();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      const made = await ensurePolicyLogPartitions(this.#database.db);
      if (made > 0) this.#observe({ type: 'partitions.made', partitions: made });
    } catch (error) {
      this.#observe({ type: 'partitions.failed', reason: databaseErrorReport(error).message });
    }
  }
}
