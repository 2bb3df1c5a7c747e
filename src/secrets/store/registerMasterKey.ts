import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Id of the master key that the database is used with: this one, unless somebody was faster. */
export async function registerMasterKey(db: Db, keyId: string): Promise<string> {
  const { rows } = await sql<{ key_id: string }>`
    insert into moonguard.master_key as registered (key_id) values (${keyId})
    on conflict (only_row) do update set key_id = registered.key_id
    returning key_id
  `.execute(db);
  return rows[0]?.key_id ?? keyId;
}
