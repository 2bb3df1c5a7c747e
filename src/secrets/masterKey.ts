import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import { createSecretBox, parseMasterKey, type SecretBox } from './secretBox.ts';
import { findSealingKeyIds } from './store/findSealingKeyIds.ts';

export interface MasterKeySource {
  /** The setting MOONGUARD_MASTER_KEY. */
  readonly masterKey: string | undefined;
  /** Where a generated key is kept, as `master.key`; undefined for a database in memory. */
  readonly dataDirectory: string | undefined;
}

/**
 * The master key, made ready: from the setting, else from the data directory, else a new one, written there.
 * @throws MoonguardError master_key_missing when stored secrets need a key and there is none; master_key_mismatch when
 *   they were sealed with another one: whatever would be sealed now could not be read beside them
 */
export async function openSecretBox(db: Db, source: MasterKeySource, observe: Observe): Promise<SecretBox> {
  const inUse = await findSealingKeyIds(db);
  const { key } = findMasterKey(source) ?? newMasterKey(source, inUse, observe);
  const secretBox = createSecretBox(parseMasterKey(key));
  const foreign = inUse.filter((keyId) => keyId !== secretBox.keyId);
  if (foreign.length > 0) {
    throw new MoonguardError(
      'master_key_mismatch',
      `Stored secrets are encrypted under the master key ${foreign.join(', ')}; the one given is ${secretBox.keyId}.`,
    );
  }
  return secretBox;
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

function newMasterKey(source: MasterKeySource, inUse: readonly string[], observe: Observe): { readonly key: string } {
  const file = keyFile(source);
  if (inUse.length > 0) {
    throw new MoonguardError(
      'master_key_missing',
      `Stored secrets are encrypted under the master key ${inUse.join(', ')}, which is neither in MOONGUARD_MASTER_KEY${file === undefined ? '' : ` nor in ${file}`}.`,
    );
  }
  const key = randomBytes(32).toString('base64');
  if (file !== undefined) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // Fails rather than overwrite the key that another process made a moment ago.
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' });
    observe({ type: 'master_key.generated', file });
  }
  return { key };
}

function keyFile({ dataDirectory }: MasterKeySource): string | undefined {
  return dataDirectory === undefined ? undefined : join(dataDirectory, 'master.key');
}
