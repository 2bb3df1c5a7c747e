import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Notes what the log is verified with, unless that is known; returns what it is verified with. */
export async function registerLogKey(db: Db, verifierKey: string): Promise<string> {
  const { rows } = await sql<{ verifierKey: string }>`
    with said as (
      update moonguard.audit_log set verifier_key = coalesce(verifier_key, ${verifierKey}) returning verifier_key
    ), first as (
      insert into moonguard.audit_keys (verifier_key) select verifier_key from said on conflict do nothing
    )
    select verifier_key as "verifierKey" from said
  `.execute(db);
  return rows[0]?.verifierKey ?? verifierKey;
}
