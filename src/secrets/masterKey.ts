import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import { createSecretBox, parseMasterKey, type SecretBox } from './secretBox.ts';
import { findKeyIdsInUse } from './store/findKeyIdsInUse.ts';
import { registerMasterKey } from './store/registerMasterKey.ts';

export interface MasterKeySource {
  /** The setting MOONGUARD_MASTER_KEY. */
  readonly masterKey: string | undefined;
  /** Where a generated key is kept, as `master.key`; undefined for a database in memory. */
  readonly dataDirectory: string | undefined;
}

/**
 * The master key, made ready: from the setting, else from the data directory, else a new one, written there. The database
 * notes which one it is used with, so that a second machine with another key is refused before it seals anything.
 * @throws MoonguardError master_key_missing when the database is used with a key and there is none; master_key_mismatch
 *   when it is used with another one: whatever would be sealed now could not be read beside the rest
 */
export async function openSecretBox(db: Db, source: MasterKeySource, observe: Observe): Promise<SecretBox> {
  const inUse = await findKeyIdsInUse(db);
  const found = findMasterKey(source);
  if (found !== undefined) {
    const secretBox = createSecretBox(parseMasterKey(found.key));
    refuseForeign(secretBox, inUse);
    refuseForeign(secretBox, [await registerMasterKey(db, secretBox.keyId)]);
    return secretBox;
  }
  const file = keyFile(source);
  if (inUse.length > 0) {
    throw new MoonguardError(
      'master_key_missing',
      `The database is used with the master key ${inUse.join(', ')}, which is neither in MOONGUARD_MASTER_KEY${file === undefined ? '' : ` nor in ${file}`}.`,
    );
  }
  return makeMasterKey(db, file, observe);
}

function refuseForeign({ keyId }: SecretBox, inUse: readonly string[]): void {
  const foreign = inUse.filter((other) => other !== keyId);
  if (foreign.length === 0) return;
  throw new MoonguardError(
    'master_key_mismatch',
    `The database is used with the master key ${foreign.join(', ')}; the one given is ${keyId}.`,
  );
}

export interface FoundMasterKey {
  /** Base64. */
  readonly key: string;
  /** The name of the setting, or the path of the file. */
  readonly from: string;
}

/** The key that is there already; undefined when there is none. */
export function findMasterKey(source: MasterKeySource): FoundMasterKey | undefined {
  if (source.masterKey !== undefined) return { key: source.masterKey, from: 'MOONGUARD_MASTER_KEY' };
  const file = keyFile(source);
  if (file === undefined || !existsSync(file)) return undefined;
  return { key: readFileSync(file, 'utf8').trim(), from: file };
}

async function makeMasterKey(db: Db, file: string | undefined, observe: Observe): Promise<SecretBox> {
  const key = randomBytes(32);
  const secretBox = createSecretBox(key);
  if (file !== undefined) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // Fails rather than overwrite the key that another process made a moment ago.
    writeFileSync(file, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  }
  try {
    refuseForeign(secretBox, [await registerMasterKey(db, secretBox.keyId)]);
  } catch (error) {
    // Another machine made one at the same time and was faster; this one sealed nothing.
    if (file !== undefined) rmSync(file);
    throw error;
  }
  if (file !== undefined) observe({ type: 'master_key.generated', file });
  return secretBox;
}

function keyFile({ dataDirectory }: MasterKeySource): string | undefined {
  return dataDirectory === undefined ? undefined : join(dataDirectory, 'master.key');
}
