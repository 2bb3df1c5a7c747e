import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Until the end of the transaction nobody removes or erases rows of the policy log, nor puts them into the tree. Times are read in UTC from here on. */
export async function lockRetention(transaction: Db): Promise<void> {
  await sql`select set_config('TimeZone', 'UTC', true), pg_advisory_xact_lock(hashtextextended('moonguard.retention', 0))`.execute(
    transaction,
  );
  await sql`select moonguard.hold_sequencing()`.execute(transaction);
}
