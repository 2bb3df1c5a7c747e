import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';

/** Every provider key, still sealed, the newest first. */
export function listProviderKeys(db: Db) {
  return db
    .selectFrom('moonguard.provider_keys')
    .select(['id', 'environment', 'sealed', 'key_id', 'fingerprint', 'created_at'])
    .$narrowType<{ environment: Environment }>()
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
}
