import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export type StoredSecret = {
  readonly id: string;
  readonly endpoint_id: string;
  /** Unix ms; null for the newest. */
  readonly expires_at: number | null;
} & (
  | { readonly sealed: Buffer; readonly key_id: string; readonly unsealed: null }
  /** Written by SQL and not sealed by the program yet. */
  | { readonly sealed: null; readonly key_id: null; readonly unsealed: string }
);

/** Secrets of the endpoint that have not expired, the newest first. */
export async function listEndpointSecrets(db: Db, endpointId: string): Promise<StoredSecret[]> {
  const { rows } = await sql<StoredSecret>`
    select id, endpoint_id, sealed, key_id, unsealed, (extract(epoch from expires_at) * 1000)::double precision as expires_at
    from moonguard.endpoint_secrets
    where endpoint_id = ${endpointId}::uuid and (expires_at is null or expires_at > now())
    order by endpoint_secrets.expires_at desc nulls first, created_at desc, id desc
  `.execute(db);
  return rows;
}
