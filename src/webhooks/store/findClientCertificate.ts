import type { Db } from '../../database/database.ts';

export interface StoredClientCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly sealed: Buffer;
  readonly key_id: string;
}

export function findClientCertificate(db: Db, id: string): Promise<StoredClientCertificate | undefined> {
  return db
    .selectFrom('moonguard.endpoint_certificates')
    .select(['certificate', 'sealed', 'key_id'])
    .where('id', '=', id)
    .executeTakeFirst();
}
