import type { Database } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { MoonguardError } from '../errors.ts';
import { type IncomingEvent, type StoredEvent, storeEvents } from './store/storeEvents.ts';

/** Events in one transaction. Larger batches gain nothing and make a failure dearer. */
const LARGEST_BATCH = 200;
/** Events that wait for their turn; beyond it the sender is asked to come back. About 2 s of work. */
const LONGEST_QUEUE = 10_000;

interface Waiting {
  readonly event: IncomingEvent;
  readonly resolve: (stored: StoredEvent) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Stores events in continuous batches: whatever has arrived while a batch commits goes into the next one, so the first
 * waits for nobody and a crowd shares one commit. No timer.
 */
export class Ingest {
  readonly #database: Database;
  readonly #maxBatchesInFlight: number;
  readonly #waiting: Waiting[] = [];
  #batchesInFlight = 0;

  constructor(database: Database) {
    this.#database = database;
    // The embedded database is one session. On PostgreSQL a second batch is prepared while the first one commits.
    this.#maxBatchesInFlight = database.kind === 'embedded' ? 1 : 2;
  }

  /**
   * Resolves when the event is committed, or known to be a duplicate of a committed one.
   * @throws MoonguardError database_unavailable when too many events wait already
   */
  store(event: IncomingEvent): Promise<StoredEvent> {
    if (this.#waiting.length >= LONGEST_QUEUE) {
      return Promise.reject(new MoonguardError('database_unavailable', 'Too many events wait to be stored.'));
    }
    const { promise, resolve, reject } = Promise.withResolvers<StoredEvent>();
    this.#waiting.push({ event, resolve, reject });
    this.#next();
    return promise;
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#batchesInFlight >= this.#maxBatchesInFlight) return;
    this.#batchesInFlight++;
    void this.#storeBatch(this.#waiting.splice(0, LARGEST_BATCH)).finally(() => {
      this.#batchesInFlight--;
      this.#next();
    });
  }

  async #storeBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const events = batch.map(({ event }) => event);
      const stored = await this.#database.transaction((transaction) => storeEvents(transaction, events));
      for (const [place, { resolve, reject }] of batch.entries()) {
        const result = stored[place];
        if (result === undefined) reject(new Error('storeEvents returned fewer results than events'));
        else resolve(result);
      }
    } catch (error) {
      // One event that the database refuses must not take the others down with it.
      if (batch.length > 1 && !isUnavailable(error)) {
        for (const single of batch) await this.#storeBatch([single]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
