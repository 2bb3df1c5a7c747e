import { MoonguardError } from '../errors.ts';
import { findMasterKey } from '../secrets/masterKey.ts';
import { createSecretBox, parseMasterKey, type SecretBox } from '../secrets/secretBox.ts';
import { type Check, ok, type Patient, problem, warning } from './check.ts';
import { readProviderKeyCounts } from './store/readProviderKeyCounts.ts';
import { readStoredSecrets, type StoredSecret } from './store/readStoredSecrets.ts';

/** Without a key of its own an environment refuses every webhook. */
export async function checkProviderKeys({ database, webhookKeys }: Patient): Promise<Check> {
  const stored = await readProviderKeyCounts(database.db);
  const sandbox = stored.sandbox + webhookKeys.sandbox.length;
  const production = stored.production + webhookKeys.production.length;
  const message = `sandbox ${sandbox}, production ${production}`;
  if (sandbox + production === 0) {
    return problem(
      'webhook keys',
      `${message}: every webhook is refused`,
      'Run moonguard keys add <sandbox|production>.',
    );
  }
  return ok('webhook keys', message);
}

/** Whether the secrets in the database can be read. */
export async function checkMasterKey(patient: Patient): Promise<Check> {
  const secrets = await readStoredSecrets(patient.database.db);
  const sealed = secrets.filter((secret) => secret.sealed !== null);
  const waiting = secrets.length - sealed.length;
  const found = findMasterKey(patient);
  if (found === undefined) {
    return sealed.length === 0
      ? ok('master key', 'none yet, and nothing is encrypted: the first start makes one')
      : problem('master key', `missing; ${sealed.length} stored secrets need it`, 'Set MOONGUARD_MASTER_KEY.');
  }
  let secretBox: SecretBox;
  try {
    secretBox = createSecretBox(parseMasterKey(found.key));
  } catch (error) {
    if (error instanceof MoonguardError) return problem('master key', `${error.message} (${found.from})`, error.action);
    throw error;
  }
  const unreadable = sealed.filter((secret) => !opens(secretBox, secret));
  if (unreadable.length > 0) {
    const kinds = [...new Set(unreadable.map(({ kind, keyId }) => `${kind} under ${keyId}`))].join(', ');
    return problem(
      'master key',
      `${found.from} (${secretBox.keyId}) does not open ${unreadable.length} of ${sealed.length} stored secrets: ${kinds}`,
      'Set MOONGUARD_MASTER_KEY to the key they were encrypted with.',
    );
  }
  const message = `${found.from} (${secretBox.keyId}) opens all ${sealed.length} stored secrets`;
  if (waiting > 0) {
    return warning('master key', `${message}; ${waiting} wait unencrypted`, 'The next moonguard start encrypts them.');
  }
  if (patient.database.kind === 'postgres' && patient.masterKey === undefined) {
    return warning(
      'master key',
      message,
      'Every machine that works on this database needs the same key: set MOONGUARD_MASTER_KEY to the content of that file.',
    );
  }
  return ok('master key', message);
}

function opens(secretBox: SecretBox, { sealed, keyId, id }: StoredSecret): boolean {
  if (sealed === null || keyId === null) return false;
  try {
    secretBox.open(sealed, keyId, id);
    return true;
  } catch {
    return false;
  }
}
