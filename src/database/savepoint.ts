import { sql } from 'kysely';
import type { Db } from './database.ts';

/** Runs a part of a transaction that may fail: what it wrote is taken back, and the transaction goes on. */
export async function inSavepoint<T>(transaction: Db, work: () => Promise<T>): Promise<T> {
  await sql`savepoint moonguard_part`.execute(transaction);
  try {
    const result = await work();
    await sql`release savepoint moonguard_part`.execute(transaction);
    return result;
  } catch (error) {
    // The savepoint outlives the rollback; released, it no longer hides the one of the same name around it.
    await sql`rollback to savepoint moonguard_part`.execute(transaction);
    await sql`release savepoint moonguard_part`.execute(transaction);
    throw error;
  }
}
