import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import { vacuumWhereNeeded } from './store/vacuumWhereNeeded.ts';

/** Short, so that there is little to do at a time: everybody waits for it, some 4 µs a dead row. */
const EVERY_MS = 30_000;

/**
 * The embedded database has no autovacuum: each delivery leaves dead rows, and without this their tables grow for ever
 * (8 MiB a minute at 20 events/s to 4 endpoints). A server does it by itself.
 */
export class VacuumKeeper {
  readonly #database: Database;
  readonly #observe: Observe;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ database, observe }: { readonly database: Database; readonly observe: Observe }) {
    this.#database = database;
    this.#observe = observe;
  }

  start(): void {
    if (this.#database.kind === 'embedded') this.#scheduleNext();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  #scheduleNext(): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, EVERY_MS);
  }

  async #run(): Promise<void> {
    try {
      await vacuumWhereNeeded(this.#database.db);
    } catch (error) {
      this.#observe({ type: 'vacuum.failed', reason: databaseErrorReport(error).message });
    }
    if (this.#timer !== undefined) this.#scheduleNext();
  }
}
