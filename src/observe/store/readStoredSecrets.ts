import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface StoredSecret {
  readonly id: string;
  readonly kind: 'endpoint secret' | 'client certificate' | 'provider key';
  /** Null while it waits to be sealed. */
  readonly sealed: Uint8Array | null;
  readonly keyId: string | null;
}

/** Every secret that is in use. */
export async function readStoredSecrets(db: Db): Promise<StoredSecret[]> {
  const { rows } = await sql<StoredSecret>`
    select id, 'provider key' as kind, sealed, key_id as "keyId" from moonguard.provider_keys
    union all
    select id, 'endpoint secret', sealed, key_id from moonguard.endpoint_secrets
    where expires_at is null or expires_at > now()
    union all
    select id, 'client certificate', sealed, key_id from moonguard.endpoint_certificates
  `.execute(db);
  return rows;
}
