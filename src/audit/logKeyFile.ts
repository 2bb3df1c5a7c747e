import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Keys that sign, a line each: several while one takes the place of another. */
export function readKeyFile(dataDirectory: string | undefined): string | undefined {
  if (dataDirectory === undefined || !existsSync(keyFile(dataDirectory))) return undefined;
  return readFileSync(keyFile(dataDirectory), 'utf8');
}

/** @returns where it is */
export function writeKeyFile(dataDirectory: string, keys: readonly string[]): string {
  const file = keyFile(dataDirectory);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Whole or not at all: half a key would be refused at every start.
  writeFileSync(`${file}.new`, keys.map((key) => `${key}\n`).join(''), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  return file;
}

function keyFile(dataDirectory: string): string {
  return join(dataDirectory, 'log.key');
}
