import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export type StoredSecret = { readonly id: string; readonly endpoint_id: string } & (
  | { readonly sealed: Buffer; readonly key_id: string; readonly unsealed: null }
  /** Written by SQL and not sealed by the program yet. */
  | { readonly sealed: null; readonly key_id: null; readonly unsealed: string }
);

/** Secrets of these endpoints that have not expired, of each endpoint the newest first. */
export async function listEndpointSecrets(db: Db, endpointIds: readonly string[]): Promise<StoredSecret[]> {
  const { rows } = await sql<StoredSecret>`
    select id, endpoint_id, sealed, key_id, unsealed from moonguard.endpoint_secrets
    where endpoint_id = any (array(select jsonb_array_elements_text(${JSON.stringify(endpointIds)}::jsonb)::uuid))
      and (expires_at is null or expires_at > now())
    order by expires_at desc nulls first, created_at desc, id desc
  `.execute(db);
  return rows;
}
