import type { Db } from '../../database/database.ts';
import type { ClientCertificateSummary } from '../clientCertificate.ts';

export function findClientCertificateSummary(
  db: Db,
  endpointId: string,
): Promise<ClientCertificateSummary | undefined> {
  return db
    .selectFrom('moonguard.endpoint_certificates')
    .select(['id', 'subject', 'expires_at as expiresAt', 'created_at as createdAt'])
    .where('endpoint_id', '=', endpointId)
    .executeTakeFirst();
}
