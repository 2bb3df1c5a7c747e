import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';

/** Removes a key and tells every process at commit; false when the table has no such key. */
export async function removeProviderKey(db: Db, environment: Environment, fingerprint: string): Promise<boolean> {
  const { rows } = await sql`
    with removed as (
      delete from moonguard.provider_keys
      where environment = ${environment} and fingerprint = ${fingerprint}
      returning id
    )
    select pg_notify('moonguard_provider_keys', '') from removed
  `.execute(db);
  return rows.length > 0;
}
