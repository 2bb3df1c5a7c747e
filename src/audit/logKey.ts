import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import { parseSigner, type Signer, signerText } from './signedNote.ts';
import { findSaidOfLog } from './store/findSaidOfLog.ts';
import { registerLogKey } from './store/registerLogKey.ts';

export interface LogKeySource {
  /** The setting MOONGUARD_LOG_KEY. */
  readonly logKey: string | undefined;
  /** Where a key may be, as `log.key`; undefined for a database in memory. */
  readonly dataDirectory: string | undefined;
  /** Whether one is made where there is none: the embedded database has no other machine that could have it. */
  readonly mayMake: boolean;
  /** Name of a log that begins now. */
  readonly newName: () => string;
}

/**
 * The key that signs checkpoints: from the setting, else from the data directory, else a new one, written there; undefined
 * where there is none: then another process signs, or nobody. The database only ever has the half that verifies.
 * @throws MoonguardError log_key_invalid; log_key_mismatch when the log is signed with another one
 */
export async function openLogKey(db: Db, source: LogKeySource, observe: Observe): Promise<Signer | undefined> {
  const found = source.logKey ?? readKeyFile(source);
  const { verifierKey } = await findSaidOfLog(db);
  const text = found ?? (verifierKey === null ? makeKeyFile(source, observe) : undefined);
  if (text === undefined) return undefined;
  const signer = parseSigner(text);
  const registered = await registerLogKey(db, signer.verifier.text);
  if (registered !== signer.verifier.text) {
    throw new MoonguardError(
      'log_key_mismatch',
      `The log is signed with ${registered}; the key given is that of ${signer.verifier.text}.`,
    );
  }
  return signer;
}

/** A key for a log that begins now. @param name that of the log: a host and path of yours. @throws MoonguardError log_key_invalid */
export function newLogKey(name: string): string {
  return signerText(name, randomBytes(32));
}

function readKeyFile({ dataDirectory }: LogKeySource): string | undefined {
  if (dataDirectory === undefined || !existsSync(keyFile(dataDirectory))) return undefined;
  return readFileSync(keyFile(dataDirectory), 'utf8').trim();
}

function makeKeyFile({ dataDirectory, mayMake, newName }: LogKeySource, observe: Observe): string | undefined {
  if (!mayMake || dataDirectory === undefined) return undefined;
  const file = keyFile(dataDirectory);
  const text = newLogKey(newName());
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Whole or not at all: half a key would be refused at every start.
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  observe({ type: 'log_key.generated', file });
  return text;
}

function keyFile(dataDirectory: string): string {
  return join(dataDirectory, 'log.key');
}
