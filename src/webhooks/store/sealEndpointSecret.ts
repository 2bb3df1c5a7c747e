import type { Db } from '../../database/database.ts';

/** Puts the sealed bytes in the place of the text. When another process was faster, its bytes stay. */
export async function sealEndpointSecret(
  db: Db,
  secret: { readonly id: string; readonly sealed: Buffer; readonly keyId: string },
): Promise<void> {
  await db
    .updateTable('moonguard.endpoint_secrets')
    .set({ sealed: secret.sealed, key_id: secret.keyId, unsealed: null })
    .where('id', '=', secret.id)
    .where('unsealed', 'is not', null)
    .execute();
}
