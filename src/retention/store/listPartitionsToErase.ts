import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** In which personal data may be due to be erased, the oldest first. */
export async function listPartitionsToErase(db: Db, at: Date): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select partition_name as name from moonguard.policy_log_partitions(${at}) where personal_data_ends order by 1
  `.execute(db);
  return rows.map(({ name }) => name);
}
