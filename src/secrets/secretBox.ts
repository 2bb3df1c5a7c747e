import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomBytes } from 'node:crypto';
import { MoonguardError } from '../errors.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Encrypts what is stored under the master key, which the database never sees. */
export interface SecretBox {
  /** Tells master keys apart: the first 8 hex digits of the key's SHA-256. Stored beside what it sealed. */
  readonly keyId: string;
  /** @param boundTo id of the row: moved to another row, the bytes no longer open */
  seal(text: string, boundTo: string): Buffer;
  /** @throws MoonguardError master_key_mismatch, or secret_unreadable when the bytes or their row are not the sealed ones */
  open(sealed: Uint8Array, keyId: string, boundTo: string): string;
}

/** @param masterKey 32 bytes. Sealed is: 12 bytes of random nonce, the ciphertext, 16 bytes of tag. */
export function createSecretBox(masterKey: Uint8Array): SecretBox {
  const key = createSecretKey(masterKey);
  const ownKeyId = createHash('sha256').update(masterKey).digest('hex').slice(0, 8);
  return {
    keyId: ownKeyId,
    seal: (text, boundTo) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(boundTo));
      return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    },
    open: (sealed, keyId, boundTo) => {
      if (keyId !== ownKeyId) {
        throw new MoonguardError(
          'master_key_mismatch',
          `A stored secret is encrypted under the master key ${keyId}; the one given is ${ownKeyId}.`,
        );
      }
      try {
        const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
          .setAAD(Buffer.from(boundTo))
          .setAuthTag(sealed.subarray(-TAG_BYTES));
        return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch (cause) {
        throw new MoonguardError('secret_unreadable', `The stored secret ${boundTo} is not what was sealed.`, {
          cause,
        });
      }
    },
  };
}

/**
 * Reads the setting MOONGUARD_MASTER_KEY: 32 bytes in base64.
 * @throws MoonguardError configuration_invalid; the message never repeats the key
 */
export function parseMasterKey(base64: string): Uint8Array {
  const bytes = Buffer.from(base64, 'base64');
  // Buffer skips what is not base64, so only a text that comes out the same again was base64.
  if (bytes.length === KEY_BYTES && bytes.toString('base64') === base64) return bytes;
  const problem = {
    code: 'master_key_malformed',
    field: 'MOONGUARD_MASTER_KEY',
    message: `must be ${KEY_BYTES} bytes in base64, as \`openssl rand -base64 ${KEY_BYTES}\` prints them`,
  };
  throw new MoonguardError('configuration_invalid', `${problem.field} ${problem.message}.`, { problems: [problem] });
}
