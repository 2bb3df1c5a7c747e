import type { Database, Db } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';

/** Items in one batch. Larger ones gain nothing and make a refusal dearer. */
const LARGEST_BATCH = 500;

/** Items that are done together, or not at all. */
interface Waiting<Item, Result> {
  readonly items: readonly Item[];
  readonly resolve: (results: Result[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Asks the database for callers who have no transaction of their own in continuous batches: whatever has come while a batch
 * is under way goes into the next one, so the first waits for nobody and a crowd shares one statement and one commit.
 */
export class Batcher<Item, Result> {
  readonly #work: (db: Db, items: readonly Item[]) => Promise<Result[]>;
  readonly #database: Database;
  readonly #maxBatchesInFlight: number;
  #waiting: Waiting<Item, Result>[] = [];
  #batchesInFlight = 0;

  /** @param work does all items, or none, in one statement; what it returns stands in their order */
  constructor(database: Database, work: (db: Db, items: readonly Item[]) => Promise<Result[]>) {
    this.#database = database;
    this.#work = work;
    // The embedded database is one session. On PostgreSQL a second batch is prepared while the first one commits.
    this.#maxBatchesInFlight = database.kind === 'embedded' ? 1 : 2;
  }

  /** Resolves when the items are done, and committed. An item that is refused takes only its own caller's items down with it. */
  run(items: readonly Item[]): Promise<Result[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Result[]>();
    this.#waiting.push({ items, resolve, reject });
    this.#next();
    return promise;
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#batchesInFlight >= this.#maxBatchesInFlight) return;
    this.#batchesInFlight++;
    // What else comes in this turn goes along.
    setImmediate(() => {
      void this.#runBatch(this.#takeBatch()).finally(() => {
        this.#batchesInFlight--;
        this.#next();
      });
    });
  }

  #takeBatch(): Waiting<Item, Result>[] {
    let items = 0;
    const tooMuch = this.#waiting.findIndex((waiting, place) => {
      items += waiting.items.length;
      return place > 0 && items > LARGEST_BATCH;
    });
    return this.#waiting.splice(0, tooMuch === -1 ? this.#waiting.length : tooMuch);
  }

  async #runBatch(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const results = await this.#work(
        this.#database.db,
        batch.flatMap(({ items }) => items),
      );
      let from = 0;
      for (const { items, resolve } of batch) resolve(results.slice(from, (from += items.length)));
    } catch (error) {
      if (batch.length > 1 && !isUnavailable(error)) {
        for (const single of batch) await this.#runBatch([single]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
