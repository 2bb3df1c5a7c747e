import type { Database, Db } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';

/** Rows in one batch. Larger ones gain nothing and make a refusal dearer. */
const LARGEST_BATCH = 500;

/** Rows that are written together, or not at all. */
interface Waiting<Row, Logged> {
  readonly rows: readonly Row[];
  readonly resolve: (logged: Logged[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes rows of callers who have no transaction of their own in continuous batches: whatever has come while a batch
 * commits goes into the next one, so the first waits for nobody and a crowd shares one commit.
 */
export class LogBatcher<Row, Logged> {
  readonly #insert: (db: Db, rows: readonly Row[]) => Promise<Logged[]>;
  readonly #database: Database;
  readonly #maxBatchesInFlight: number;
  #waiting: Waiting<Row, Logged>[] = [];
  #batchesInFlight = 0;

  /** @param insert writes rows in one statement; what it returns stands in their order */
  constructor(database: Database, insert: (db: Db, rows: readonly Row[]) => Promise<Logged[]>) {
    this.#database = database;
    this.#insert = insert;
    // The embedded database is one session. On PostgreSQL a second batch is prepared while the first one commits.
    this.#maxBatchesInFlight = database.kind === 'embedded' ? 1 : 2;
  }

  /** Resolves when the rows are committed. A row that is refused takes only its own caller's rows down with it. */
  write(rows: readonly Row[]): Promise<Logged[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Logged[]>();
    this.#waiting.push({ rows, resolve, reject });
    this.#next();
    return promise;
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#batchesInFlight >= this.#maxBatchesInFlight) return;
    this.#batchesInFlight++;
    // What else comes in this turn goes along.
    setImmediate(() => {
      void this.#writeBatch(this.#takeBatch()).finally(() => {
        this.#batchesInFlight--;
        this.#next();
      });
    });
  }

  #takeBatch(): Waiting<Row, Logged>[] {
    let rows = 0;
    const tooMuch = this.#waiting.findIndex((waiting, place) => {
      rows += waiting.rows.length;
      return place > 0 && rows > LARGEST_BATCH;
    });
    return this.#waiting.splice(0, tooMuch === -1 ? this.#waiting.length : tooMuch);
  }

  async #writeBatch(batch: readonly Waiting<Row, Logged>[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const logged = await this.#insert(
        this.#database.db,
        batch.flatMap(({ rows }) => rows),
      );
      let from = 0;
      for (const { rows, resolve } of batch) resolve(logged.slice(from, (from += rows.length)));
    } catch (error) {
      if (batch.length > 1 && !isUnavailable(error)) {
        for (const single of batch) await this.#writeBatch([single]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
