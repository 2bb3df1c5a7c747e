import type { Db } from '../database/database.ts';
import { createEndpointSecretKey, type EndpointSecretKey, newEndpointSecret } from '../deliver/sign.ts';
import { MoonguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { SecretBox } from '../secrets/secretBox.ts';
import { expireEndpointSecrets } from './store/expireEndpointSecrets.ts';
import { insertEndpointSecret } from './store/insertEndpointSecret.ts';
import { listEndpointSecrets, type StoredSecret } from './store/listEndpointSecrets.ts';
import { listUnsealedSecrets } from './store/listUnsealedSecrets.ts';
import { sealEndpointSecret } from './store/sealEndpointSecret.ts';

/** 24 h: receivers have a day to take over a new secret. */
const DEFAULT_OVERLAP_SECONDS = 24 * 60 * 60;

/** Keys kept ready, about 1 kB each. */
const MOST_CACHED_KEYS = 10_000;

export interface EndpointSecretsDependencies {
  readonly secretBox: SecretBox;
  readonly runtime: Pick<Runtime, 'newId'>;
}

/** What a rotation gives; the secret is not to be seen again. */
export interface RotatedSecret {
  readonly secret: string;
  /** Until then deliveries carry the previous secret's signature as well; null when there was no previous one. */
  readonly previousExpiresAt: Date | null;
}

/** A key and until when deliveries are signed with it, in unix ms. */
export interface ValidKey {
  readonly key: EndpointSecretKey;
  readonly untilMs: number;
}

/** The secrets that deliveries are signed with: stored sealed, shown once, kept ready as keys. */
export interface EndpointSecrets {
  /**
   * The keys of what is stored for an endpoint, in the same order. An endpoint without a secret gets one, so that nothing
   * is ever sent unsigned; its owner learns it by rotating.
   * @throws MoonguardError master_key_mismatch, secret_unreadable
   */
  keysOf(db: Db, endpointId: string, stored: readonly StoredSecret[]): Promise<readonly ValidKey[]>;
  /**
   * Gives an endpoint its first secret, `secretText` or a random one, and returns it.
   * @throws MoonguardError webhook_status_conflict when it has one
   */
  create(db: Db, endpointId: string, secretText?: string): Promise<string>;
  /** Replaces the secret. Belongs in a transaction that has locked the endpoint: rotations follow one another. */
  rotate(db: Db, endpointId: string, overlapSeconds?: number): Promise<RotatedSecret>;
  /** Seals what SQL or the installer left unsealed; returns how many. For the start of the program. */
  sealAll(db: Db): Promise<number>;
}

export function createEndpointSecrets({ secretBox, runtime }: EndpointSecretsDependencies): EndpointSecrets {
  /** By id of the secret's row, which holds the same secret for ever. */
  const ready = new Map<string, EndpointSecretKey>();

  const insert = (db: Db, endpointId: string, secretText: string): Promise<boolean> => {
    const id = runtime.newId();
    return insertEndpointSecret(db, { id, endpointId, sealed: secretBox.seal(secretText, id), keyId: secretBox.keyId });
  };

  const seal = (db: Db, id: string, unsealed: string): Promise<void> =>
    sealEndpointSecret(db, { id, sealed: secretBox.seal(unsealed, id), keyId: secretBox.keyId });

  const keyOf = async (db: Db, secret: StoredSecret): Promise<EndpointSecretKey> => {
    if (secret.unsealed !== null) await seal(db, secret.id, secret.unsealed);
    const known = ready.get(secret.id);
    if (known !== undefined) return known;
    const text = secret.unsealed ?? secretBox.open(secret.sealed, secret.key_id, secret.id);
    const key = createEndpointSecretKey(secret.id, text);
    if (ready.size >= MOST_CACHED_KEYS) ready.clear();
    ready.set(secret.id, key);
    return key;
  };

  const create = async (db: Db, endpointId: string, secretText: string = newEndpointSecret()): Promise<string> => {
    if (await insert(db, endpointId, secretText)) return secretText;
    throw new MoonguardError('webhook_status_conflict', 'The endpoint has a secret already: rotate it.');
  };

  return {
    keysOf: async (db, endpointId, stored) => {
      if (stored.length === 0) await insert(db, endpointId, newEndpointSecret());
      const secrets = stored.length > 0 ? stored : await listEndpointSecrets(db, endpointId);
      const keys: ValidKey[] = [];
      for (const secret of secrets) {
        keys.push({ key: await keyOf(db, secret), untilMs: secret.expires_at ?? Number.POSITIVE_INFINITY });
      }
      return keys;
    },

    create,

    rotate: async (db, endpointId, overlapSeconds = DEFAULT_OVERLAP_SECONDS) => {
      const previousExpiresAt = await expireEndpointSecrets(db, endpointId, overlapSeconds);
      return { secret: await create(db, endpointId), previousExpiresAt };
    },

    sealAll: async (db) => {
      const rows = await listUnsealedSecrets(db);
      for (const { id, unsealed } of rows) await seal(db, id, unsealed);
      return rows.length;
    },
  };
}
