import type { Db } from '../../database/database.ts';

/** The endpoint shows none from now on. */
export async function deleteClientCertificate(db: Db, endpointId: string): Promise<void> {
  await db.deleteFrom('moonguard.endpoint_certificates').where('endpoint_id', '=', endpointId).execute();
}
