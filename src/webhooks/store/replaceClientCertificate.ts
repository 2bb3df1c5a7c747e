import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ClientCertificateSummary } from '../clientCertificate.ts';

export interface SealedClientCertificate {
  readonly id: string;
  readonly endpointId: string;
  readonly certificate: string;
  readonly sealed: Buffer;
  /** Of the master key. */
  readonly keyId: string;
  readonly subject: string;
  readonly expiresAt: Date;
}

/** Makes this the endpoint's certificate; the one before it is gone, its key with it. */
export async function replaceClientCertificate(
  db: Db,
  { id, endpointId, certificate, sealed, keyId, subject, expiresAt }: SealedClientCertificate,
): Promise<ClientCertificateSummary> {
  const { rows } = await sql<ClientCertificateSummary>`
    with added as (
      insert into moonguard.endpoint_certificates (id, endpoint_id, certificate, sealed, key_id, subject, expires_at)
      values (${id}, ${endpointId}, ${certificate}, ${sealed}, ${keyId}, ${subject}, ${expiresAt})
      returning id, endpoint_id, subject, expires_at, created_at
    ), shown as (
      update public.moonpay_webhook_config c set client_certificate_id = added.id from added where c.id = added.endpoint_id
    ), removed as (
      delete from moonguard.endpoint_certificates former using added where former.endpoint_id = added.endpoint_id
    )
    select id, subject, expires_at as "expiresAt", created_at as "createdAt" from added
  `.execute(db);
  const [added] = rows;
  if (added === undefined) throw new Error('an insert returns its row');
  return added;
}
