import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Notes what the log is verified with, unless that is known; returns what it is verified with. */
export async function registerLogKey(db: Db, verifierKey: string): Promise<string> {
  const { rows } = await sql<{ verifierKey: string }>`
    update moonguard.audit_log set verifier_key = coalesce(verifier_key, ${verifierKey}) returning verifier_key as "verifierKey"
  `.execute(db);
  return rows[0]?.verifierKey ?? verifierKey;
}
