import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface SealedSecret {
  readonly id: string;
  readonly endpointId: string;
  readonly sealed: Buffer;
  /** Of the master key. */
  readonly keyId: string;
}

/** Makes this the endpoint's current secret; false when it has one already, or is gone. */
export async function insertEndpointSecret(db: Db, secret: SealedSecret): Promise<boolean> {
  const { rows } = await sql`
    insert into moonguard.endpoint_secrets (id, endpoint_id, sealed, key_id)
    select ${secret.id}::uuid, id, ${secret.sealed}::bytea, ${secret.keyId} from public.moonpay_webhook_config
    where id = ${secret.endpointId}
    on conflict (endpoint_id) where expires_at is null do nothing
    returning id
  `.execute(db);
  return rows.length > 0;
}
