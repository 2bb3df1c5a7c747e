import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Makes the files of an archive unreadable for ever, wherever copies of them are; false when there was no key. */
export async function eraseArchiveKey(db: Db, id: string, actor: string): Promise<boolean> {
  const { rows } = await sql`
    update moonguard.archives set sealed_key = null, sealed_key_id = null, key_erased_at = now(), key_erased_by = ${actor}
    where id = ${id}::uuid and sealed_key is not null returning id
  `.execute(db);
  return rows.length > 0;
}
