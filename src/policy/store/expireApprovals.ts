import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Ends some of the approvals that nobody decided in time; returns how many. */
export async function expireApprovals(db: Db): Promise<number> {
  const { rows } = await sql<{ expired: number }>`select moonguard.expire_approvals() as expired`.execute(db);
  return rows[0]?.expired ?? 0;
}
