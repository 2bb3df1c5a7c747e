import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { MoonguardError } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';
import { refusedRow } from '../input/refusedRow.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { personOf } from './alertChange.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Runs `work`, which writes settings of alerts, in a transaction. One that the caller gave survives a refusal.
 * @param table that a refused row is of
 * @throws MoonguardError alert_settings_invalid, alert_actor_missing
 */
export async function writeSettings<T>(
  database: Database,
  options: WriteOptions,
  table: string,
  work: (transaction: Db) => Promise<T>,
): Promise<T> {
  const actor = options.actor === undefined ? SYSTEM_ACTOR : personOf(options);
  try {
    return await database.transaction(
      (transaction) => inSavepoint(transaction, () => asActor(transaction, actor, () => work(transaction))),
      options.transaction,
    );
  } catch (error) {
    if (databaseErrorReport(error).code === INSUFFICIENT_PRIVILEGE) throw notAllowed(error);
    const problem = refusedRow(error, table);
    throw problem === undefined ? error : inputError('alert_settings_invalid', [problem], error);
  }
}

export function notAllowed(cause?: unknown): MoonguardError {
  return new MoonguardError('alert_settings_invalid', 'The settings of alerts are not yours to see or to change.', {
    cause,
  });
}

/** What holds after a change: `changes` where they are given, else `current`. */
export function changed<T extends object>(current: T, changes: Partial<{ [Key in keyof T]: T[Key] | undefined }>): T {
  return { ...current, ...Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) };
}
