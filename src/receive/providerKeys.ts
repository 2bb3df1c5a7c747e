import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import type { WriteOptions } from '../input/writeOptions.ts';
import { type Environment, environments } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';
import type { SecretBox } from '../secrets/secretBox.ts';
import { type KeysByEnvironment, ProviderKeyCache } from './providerKeyCache.ts';
import { providerKeyProblem } from './providerKeyFormat.ts';
import { addProviderKey } from './store/addProviderKey.ts';
import { listProviderKeys } from './store/listProviderKeys.ts';
import { removeProviderKey } from './store/removeProviderKey.ts';
import { type ProviderKeySecret, providerKeySecret } from './verifySignature.ts';

/** What is shown of a provider key; the key itself never is. */
export interface ProviderKey {
  readonly environment: Environment;
  /** First 12 hex digits of the key's SHA-256. */
  readonly fingerprint: string;
  readonly source: 'table' | 'configuration';
  /** Null when it comes from the configuration. */
  readonly createdAt: Date | null;
}

export interface ProviderKeysDependencies {
  readonly database: Database;
  readonly secretBox: SecretBox;
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
  /** Keys from the settings, besides those in the table. */
  readonly configuredKeys: Readonly<Record<Environment, readonly string[]>>;
}

/** MoonPay's webhook keys: several per environment, so that one can replace another without a gap. */
export interface ProviderKeys {
  /** Every key that a webhook of the environment may be signed with; none means that every webhook is refused. */
  current(environment: Environment): Promise<readonly ProviderKeySecret[]>;
  /** @throws MoonguardError environment_unknown, provider_key_invalid */
  add(environment: Environment, key: string, options?: WriteOptions): Promise<ProviderKey>;
  /** Of one environment, or of both. */
  list(environment?: Environment): Promise<ProviderKey[]>;
  /** @throws MoonguardError provider_key_invalid when the table has no such key */
  remove(environment: Environment, fingerprint: string, options?: Pick<WriteOptions, 'transaction'>): Promise<void>;
  /** Stops listening for changes. */
  close(): Promise<void>;
}

/** @throws MoonguardError configuration_invalid when a configured key is none, or one of the other environment */
export function createProviderKeys(dependencies: ProviderKeysDependencies): ProviderKeys {
  const { database, secretBox, runtime, configuredKeys } = dependencies;
  checkConfiguredKeys(configuredKeys);
  const configured = environments.flatMap((environment) =>
    configuredKeys[environment].map((key) => ({ environment, secret: providerKeySecret(fingerprintOf(key), key) })),
  );

  const readKeys = async (): Promise<KeysByEnvironment> => {
    const rows = await listProviderKeys(database.db);
    const stored = rows.map(({ environment, fingerprint, sealed, key_id, id }) => ({
      environment,
      secret: providerKeySecret(fingerprint, secretBox.open(sealed, key_id, id)),
    }));
    const all = [...stored, ...configured];
    const of = (wanted: Environment): ProviderKeySecret[] =>
      all.filter(({ environment }) => environment === wanted).map(({ secret }) => secret);
    return { sandbox: of('sandbox'), production: of('production') };
  };
  const cache = new ProviderKeyCache(database, runtime, readKeys);

  return {
    current: (environment) => cache.current(environment),
    close: () => cache.close(),

    add: async (environment, key, { transaction = database.db, actor } = {}) => {
      parseInput(z.enum(environments), environment, 'environment_unknown');
      const problem = providerKeyProblem(key, environment);
      if (problem !== undefined) throw invalid(problem.code, problem.message);
      const id = runtime.newId();
      const fingerprint = fingerprintOf(key);
      const sealed = secretBox.seal(key, id);
      const row = { id, environment, fingerprint, sealed, keyId: secretBox.keyId };
      const createdAt = await addProviderKey(transaction, row, actor);
      if (createdAt === undefined) {
        throw invalid('already_there', `The ${environment} key ${fingerprint} is there already.`);
      }
      cache.invalidate();
      return { environment, fingerprint, source: 'table', createdAt };
    },

    list: async (wanted) => {
      const rows = await listProviderKeys(database.db);
      const all: ProviderKey[] = [
        ...rows.map(({ environment, fingerprint, created_at: createdAt }) => ({
          environment,
          fingerprint,
          source: 'table' as const,
          createdAt,
        })),
        ...configured.map(({ environment, secret }) => ({
          environment,
          fingerprint: secret.keyId,
          source: 'configuration' as const,
          createdAt: null,
        })),
      ];
      return all.filter(({ environment }) => wanted === undefined || environment === wanted);
    },

    remove: async (environment, fingerprint, { transaction = database.db } = {}) => {
      if (await removeProviderKey(transaction, environment, fingerprint)) return cache.invalidate();
      const fromSettings = configured.some(
        (key) => key.environment === environment && key.secret.keyId === fingerprint,
      );
      throw fromSettings
        ? invalid('configured', `The ${environment} key ${fingerprint} comes from the settings: take it out there.`)
        : invalid('unknown', `There is no ${environment} key ${fingerprint}: list the keys for their fingerprints.`);
    },
  };
}

function invalid(code: string, message: string): MoonguardError {
  return new MoonguardError('provider_key_invalid', message, { problems: [{ code, field: 'key', message }] });
}

function fingerprintOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12);
}

function checkConfiguredKeys(configuredKeys: ProviderKeysDependencies['configuredKeys']): void {
  const problems = environments.flatMap((environment) =>
    configuredKeys[environment]
      .map((key) => providerKeyProblem(key, environment))
      .filter((problem) => problem !== undefined)
      .map((problem) => ({ ...problem, field: `webhookKeys.${environment}` })),
  );
  if (problems.length > 0) throw inputError('configuration_invalid', problems);
}
