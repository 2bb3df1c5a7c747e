import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { SYSTEM_ACTOR } from '../../input/writeOptions.ts';
import type { Environment } from '../../observe/observation.ts';

export interface SealedProviderKey {
  readonly id: string;
  readonly environment: Environment;
  readonly sealed: Buffer;
  /** Of the master key. */
  readonly keyId: string;
  readonly fingerprint: string;
}

/**
 * Stores a key and tells every process at commit.
 * @returns when it was stored; undefined when the environment has this key already
 */
export async function addProviderKey(db: Db, key: SealedProviderKey, actor?: string): Promise<Date | undefined> {
  const { rows } = await sql<{ created_at: Date }>`
    with added as (
      insert into moonguard.provider_keys (id, environment, sealed, key_id, fingerprint, created_by)
      values (${key.id}, ${key.environment}, ${key.sealed}, ${key.keyId}, ${key.fingerprint},
        coalesce(moonguard.current_actor(), ${actor ?? SYSTEM_ACTOR}))
      on conflict (environment, fingerprint) do nothing
      returning created_at
    )
    select created_at, pg_notify('moonguard_provider_keys', '') from added
  `.execute(db);
  return rows[0]?.created_at;
}
