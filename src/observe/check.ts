import type { Database } from '../database/database.ts';
import type { Runtime } from '../runtime.ts';
import type { MasterKeySource } from '../secrets/masterKey.ts';
import type { Environment } from './observation.ts';

/** An installation that is looked at. */
export interface Patient extends MasterKeySource {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
  /** From the settings, besides those in the table. */
  readonly webhookKeys: Readonly<Record<Environment, readonly string[]>>;
}

/** What one look at an installation found. */
export interface Check {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** What to do about it; undefined when it is fine. */
  readonly action?: string;
}

export function ok(name: string, message: string): Check {
  return { name, status: 'ok', message };
}

export function warning(name: string, message: string, action: string): Check {
  return { name, status: 'warning', message, action };
}

export function problem(name: string, message: string, action: string): Check {
  return { name, status: 'problem', message, action };
}
