import { sql } from 'kysely';
import type { Database, Db } from '../../src/database/database.ts';

/**
 * Runs `first` in a transaction and commits it only once `second`, which begins after it, waits for a lock of it: what
 * happens when two do the same at the same time. On the embedded database the one session keeps the second waiting.
 */
export async function meanwhile<T>(
  database: Database,
  first: (transaction: Db) => Promise<unknown>,
  second: () => Promise<T>,
): Promise<T> {
  const { begun } = await database.transaction(async (transaction) => {
    await first(transaction);
    const promise = second();
    promise.catch(() => {}); // Whoever awaits the result sees the failure.
    if (database.kind === 'postgres') await untilItBlocks(transaction);
    return { begun: promise };
  });
  return begun;
}

/** Returns when another session waits for a lock of this transaction. */
async function untilItBlocks(transaction: Db): Promise<void> {
  await sql`
    do $$ begin
      while not exists (select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))) loop
        perform pg_sleep(0.005);
      end loop;
    end $$
  `.execute(transaction);
}
