import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Makes the policy log's partitions of this month and of the next three; returns how many were missing. */
export async function ensurePolicyLogPartitions(db: Db): Promise<number> {
  const { rows } = await sql<{ made: number }>`select moonguard.ensure_policy_log_partitions() as made`.execute(db);
  return rows[0]?.made ?? 0;
}
