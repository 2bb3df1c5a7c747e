import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Moonguard } from '../moonguard.ts';

/**
 * A webhook key for trying Moonguard out without an account at MoonPay. It also lies in a file of the data directory,
 * beside the master key, so that `simulate` can sign while the server has the embedded database to itself. Nobody but
 * this installation trusts it, and it opens nothing that the master key next to it would not.
 */
const FILE = 'sandbox-webhook.key';

/** Of the form that MoonPay's have. */
export function newSandboxKey(): string {
  return `wk_test_${randomBytes(24).toString('base64url')}`;
}

/** Gives the sandbox a key when it has none. Returns whether it did. */
export async function ensureSandboxKey({ providerKeys }: Moonguard, dataDirectory: string): Promise<boolean> {
  if ((await providerKeys.list('sandbox')).length > 0) return false;
  const key = findSandboxKey(dataDirectory) ?? newSandboxKey();
  writeFileSync(join(dataDirectory, FILE), `${key}\n`, { mode: 0o600 });
  await providerKeys.add('sandbox', key);
  return true;
}

export function findSandboxKey(dataDirectory: string): string | undefined {
  const file = join(dataDirectory, FILE);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}
