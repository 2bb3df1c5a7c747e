import { randomBytes } from 'node:crypto';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import { readKeyFile, writeKeyFile } from './logKeyFile.ts';
import { parseSigner, type Signer, signerText } from './signedNote.ts';
import { findSaidOfLog } from './store/findSaidOfLog.ts';
import { registerLogKey } from './store/registerLogKey.ts';

/** Where a process has the key of the log from, or two of them while one takes the place of the other. */
export interface LogKeyPlace {
  /** The setting MOONGUARD_LOG_KEY. */
  readonly logKey: string | undefined;
  /** Where keys may be, as `log.key`; undefined for a database in memory. */
  readonly dataDirectory: string | undefined;
}

export interface LogKeySource extends LogKeyPlace {
  /** Whether one is made where there is none: the embedded database has no other machine that could have it. */
  readonly mayMake: boolean;
  /** Name of a log that begins now. */
  readonly newName: () => string;
}

/**
 * The key that signs checkpoints: from the setting, else from the data directory, else a new one, written there; undefined
 * where there is none: then another process signs, or nobody. Of several, the one that the log is signed with now. The
 * database only ever has the half that verifies.
 * @throws MoonguardError log_key_invalid; log_key_mismatch when the log is signed with another one
 */
export async function openLogKey(db: Db, source: LogKeySource, observe: Observe): Promise<Signer | undefined> {
  const { verifierKey } = await findSaidOfLog(db);
  const found = heldKeys(source);
  const keys = found.length > 0 || verifierKey !== null ? found : makeKey(source, observe);
  const [first] = keys;
  if (first === undefined) return undefined;
  return currentOf(keys, verifierKey ?? (await registerLogKey(db, first.verifier.text)));
}

/** A key for a log that begins now. @param name that of the log: a host and path of yours. @throws MoonguardError log_key_invalid */
export function newLogKey(name: string): string {
  return signerText(name, randomBytes(32));
}

/** @throws MoonguardError log_key_invalid */
export function heldKeys({ logKey, dataDirectory }: LogKeyPlace): Signer[] {
  const text = logKey ?? readKeyFile(dataDirectory) ?? '';
  return text
    .split(/[\s,]+/)
    .filter((key) => key !== '')
    .map(parseSigner);
}

/** The one of the keys that the log is signed with. @throws MoonguardError log_key_mismatch */
export function currentOf(keys: readonly Signer[], verifierKey: string): Signer {
  const current = keys.find(({ verifier }) => verifier.text === verifierKey);
  if (current !== undefined) return current;
  const given = keys.map(({ verifier }) => verifier.text).join(', ');
  throw new MoonguardError(
    'log_key_mismatch',
    `The log is signed with ${verifierKey}; the key given is that of ${given}.`,
  );
}

function makeKey({ dataDirectory, mayMake, newName }: LogKeySource, observe: Observe): Signer[] {
  if (!mayMake || dataDirectory === undefined) return [];
  const key = newLogKey(newName());
  observe({ type: 'log_key.generated', file: writeKeyFile(dataDirectory, [key]) });
  return [parseSigner(key)];
}
