import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Database } from '../database/database.ts';
import { PolicyVersions } from './PolicyVersions.ts';
import { documentOfFile } from './policyFiles.ts';

/** `policies/default/` of the package: two folders up from here, in src/ and in dist/ alike. */
const folder = fileURLToPath(new URL('../../policies/default', import.meta.url));

/** The files of the policies that come with the program: what MoonPay's events mean to compliance. Each is named by its policy. */
export function defaultPolicyFiles(): string[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name));
}

/** Puts in the default policies, each once: one that was changed, switched off or retired stays as it is. */
export async function installDefaultPolicies(database: Database): Promise<void> {
  const versions = new PolicyVersions({ database });
  for (const file of defaultPolicyFiles()) {
    const known = await versions.list(basename(file, '.yaml'));
    if (known.length === 0) await versions.install(documentOfFile(file));
  }
}
