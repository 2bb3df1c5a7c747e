import { type Config, readConfig } from '../config.ts';
import type { Moonguard, MoonguardOptions } from '../moonguard.ts';
import type { DataOptions } from './command.ts';
import { printJson } from './output.ts';

/** The settings of the environment, with what the command line says instead. */
export function configOf({ dataDirectory }: Pick<DataOptions, 'dataDirectory'>): Config {
  const config = readConfig();
  return dataDirectory === undefined ? config : { ...config, dataDirectory };
}

export function moonguardOptions(config: Config): MoonguardOptions {
  const {
    databaseUrl,
    dataDirectory,
    masterKey,
    logKey,
    witnesses,
    logDirectory,
    webhookKeys,
    leaseMs,
    breaker,
    retention,
    archive,
  } = config;
  const { signatureToleranceSeconds, maxBodyBytes, deliveryConcurrency, allowLoopbackDestinations } = config;
  return {
    databaseUrl,
    dataDirectory,
    masterKey,
    logKey,
    witnesses,
    logDirectory,
    webhookKeys,
    leaseMs,
    breaker,
    retention,
    archive,
    signatureToleranceSeconds,
    maxBodyBytes,
    deliveryConcurrency,
    allowLoopbackDestinations,
  };
}

/**
 * Opens the database for one command. The embedded one is brought up to date by the way; on PostgreSQL that is left to
 * `moonguard migrate` or `start`, because other programs may be running on it.
 */
export async function withMoonguard<T>(options: DataOptions, work: (moonguard: Moonguard) => Promise<T>): Promise<T> {
  // Loaded here, so that --help and a mistyped command answer at once.
  const { createMoonguard } = await import('../moonguard.ts');
  const { reportTrouble } = await import('./narrate.ts');
  const config = configOf(options);
  const moonguard = await createMoonguard({
    ...moonguardOptions(config),
    migrate: config.databaseUrl === undefined,
    observe: reportTrouble,
  });
  try {
    return await work(moonguard);
  } finally {
    await moonguard.stop();
  }
}

/** One command: asks a service, and prints what it says as JSON for a program or by `tell` for people. */
export async function answer<T>(
  options: DataOptions,
  work: (moonguard: Moonguard) => Promise<T>,
  tell: (result: T) => void,
): Promise<void> {
  const result = await withMoonguard(options, work);
  if (options.json) printJson(result);
  else tell(result);
}
