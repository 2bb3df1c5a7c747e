import type { Db } from '../database/database.ts';
import type { ClientCertificate } from '../deliver/http1/connect.ts';
import type { Runtime } from '../runtime.ts';
import type { SecretBox } from '../secrets/secretBox.ts';
import {
  type ClientCertificateInput,
  type ClientCertificateSummary,
  parseClientCertificate,
} from './clientCertificate.ts';
import { deleteClientCertificate } from './store/deleteClientCertificate.ts';
import { findClientCertificate } from './store/findClientCertificate.ts';
import { findClientCertificateSummary } from './store/findClientCertificateSummary.ts';
import { replaceClientCertificate } from './store/replaceClientCertificate.ts';

/** Certificates kept ready, about 5 kB each. */
const MOST_CACHED = 1_000;

export interface ClientCertificatesDependencies {
  readonly secretBox: SecretBox;
  readonly runtime: Pick<Runtime, 'newId' | 'now'>;
}

/** What endpoints' receivers are shown (mTLS): the certificate is stored as it is, its key sealed. */
export interface ClientCertificates {
  /**
   * The certificate with this id; undefined when it was replaced or removed since. It is looked up once, for it never
   * changes.
   * @throws MoonguardError master_key_mismatch, secret_unreadable
   */
  find(db: Db, id: string): Promise<ClientCertificate | undefined>;
  /**
   * Gives the endpoint this certificate, or none, in the place of the one it has.
   * @throws MoonguardError webhook_invalid
   */
  set(db: Db, endpointId: string, input: ClientCertificateInput | null): Promise<ClientCertificateSummary | null>;
  /** Of the certificate that the endpoint has now. */
  describe(db: Db, endpointId: string): Promise<ClientCertificateSummary | null>;
}

export function createClientCertificates({ secretBox, runtime }: ClientCertificatesDependencies): ClientCertificates {
  const ready = new Map<string, ClientCertificate>();

  return {
    find: async (db, id) => {
      const known = ready.get(id);
      if (known !== undefined) return known;
      const stored = await findClientCertificate(db, id);
      if (stored === undefined) return undefined;
      const key = secretBox.open(stored.sealed, stored.key_id, id);
      const certificate = { id, cert: stored.certificate, key };
      if (ready.size >= MOST_CACHED) ready.clear();
      ready.set(id, certificate);
      return certificate;
    },

    set: async (db, endpointId, input) => {
      if (input === null) {
        await deleteClientCertificate(db, endpointId);
        return null;
      }
      const { certificate, privateKey, subject, expiresAt } = parseClientCertificate(input, runtime.now());
      const id = runtime.newId();
      const sealed = secretBox.seal(privateKey, id);
      return replaceClientCertificate(db, {
        id,
        endpointId,
        certificate,
        sealed,
        keyId: secretBox.keyId,
        subject,
        expiresAt,
      });
    },

    describe: async (db, endpointId) => (await findClientCertificateSummary(db, endpointId)) ?? null,
  };
}
