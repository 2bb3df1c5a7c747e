import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Until the end of the transaction nobody else publishes; false while somebody does. */
export async function beginPublishing(transaction: Db): Promise<boolean> {
  const { rows } = await sql<{ isOurs: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('moonguard.publishing', 0)) as "isOurs"
  `.execute(transaction);
  return rows[0]?.isOurs ?? false;
}
