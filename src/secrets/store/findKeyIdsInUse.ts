import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Ids of the master keys that stored secrets are encrypted under, and of the one the database is used with. */
export async function findKeyIdsInUse(db: Db): Promise<string[]> {
  const { rows } = await sql<{ key_id: string }>`
    select key_id from moonguard.master_key
    union select key_id from moonguard.endpoint_secrets where key_id is not null
    union select key_id from moonguard.endpoint_certificates
    union select key_id from moonguard.provider_keys
  `.execute(db);
  return rows.map(({ key_id }) => key_id);
}
