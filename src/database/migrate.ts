import { sql } from 'kysely';
import { MoonguardError } from '../errors.ts';
import type { Database, Db } from './database.ts';
import { type DatabaseErrorReport, databaseErrorReport } from './databaseError.ts';
import { MIGRATION_WAS_CHANGED, migrationBlock, prelude, SCHEMA_IS_NEWER } from './installer.ts';
import { type MigrationFile, readMigrationFiles } from './migrationFiles.ts';
import { isUnavailable } from './unavailable.ts';

/**
 * Applies the migrations that are missing: all in one transaction, so a failure leaves the database as it was. Of several
 * processes at once one migrates and the others wait for it.
 *
 * @returns names of the migrations applied now, and the number of the newest one in the database
 * @throws MoonguardError `schema_newer`, `migration_failed`, or `database_unavailable`
 */
export async function migrate(
  database: Database,
  files: readonly MigrationFile[] = readMigrationFiles(),
): Promise<{ applied: string[]; version: number }> {
  try {
    return await database.unhurried(() => database.transaction((transaction) => migrateWithin(transaction, files)));
  } catch (error) {
    throw error instanceof MoonguardError ? error : migrationError(error, 'Migrating failed');
  }
}

async function migrateWithin(transaction: Db, files: readonly MigrationFile[]) {
  for (const statement of prelude(files)) await sql.raw(statement).execute(transaction);
  const before = await appliedNumbers(transaction);
  for (const file of files) await apply(file, transaction);
  return {
    applied: files.filter(({ number }) => !before.has(number)).map(({ name }) => name),
    version: files.length,
  };
}

export interface SchemaStatus {
  /** Number of the newest migration in the database; 0 when there is none. */
  readonly current: number;
  /** Number of the newest migration of this program. */
  readonly wanted: number;
  /** Names of the migrations that `migrate` would apply. */
  readonly pending: readonly string[];
  /** Whether a newer program migrated the database. */
  readonly newer: boolean;
}

/** Compares the database with the migrations of this program. Changes nothing. */
export async function schemaStatus(
  database: Database,
  files: readonly MigrationFile[] = readMigrationFiles(),
): Promise<SchemaStatus> {
  const { rows } = await sql<{ exists: boolean }>`
    select to_regclass('moonguard.schema_migrations') is not null as exists`.execute(database.db);
  const applied = rows[0]?.exists ? await appliedNumbers(database.db) : new Set<number>();
  const current = Math.max(0, ...applied);
  return {
    current,
    wanted: files.length,
    pending: files.filter(({ number }) => !applied.has(number)).map(({ name }) => name),
    newer: current > files.length,
  };
}

async function appliedNumbers(db: Db): Promise<Set<number>> {
  const { rows } = await sql<{ number: number }>`select number from moonguard.schema_migrations`.execute(db);
  return new Set(rows.map(({ number }) => number));
}

async function apply(file: MigrationFile, transaction: Db): Promise<void> {
  try {
    await sql.raw(migrationBlock(file)).execute(transaction);
  } catch (error) {
    throw migrationError(error, `Migration ${file.name} failed${lineOf(databaseErrorReport(error), file)}`, file);
  }
}

/** Where the database says at which character the error is, the line of the file. */
function lineOf({ internalQuery, internalPosition }: DatabaseErrorReport, file: MigrationFile): string {
  if (internalPosition === undefined || internalQuery?.trim() !== file.sql.trim()) return '';
  // The block puts a line end before the text.
  return ` at line ${internalQuery.slice(0, internalPosition).split('\n').length - 1}`;
}

function migrationError(cause: unknown, what: string, file?: MigrationFile): MoonguardError {
  const { code, message, detail, hint, where } = databaseErrorReport(cause);
  if (isUnavailable(cause)) return new MoonguardError('database_unavailable', `${what}: ${message}`, { cause });
  if (code === SCHEMA_IS_NEWER) return new MoonguardError('schema_newer', message, { cause });
  if (code === MIGRATION_WAS_CHANGED) return new MoonguardError('migration_failed', `${message}. ${hint}`, { cause });
  const lines = [`${what}: ${message}`];
  if (detail !== undefined) lines.push(`Detail: ${detail}`);
  if (hint !== undefined) lines.push(`Hint: ${hint}`);
  // The database's context repeats the whole text of the migration.
  if (where !== undefined)
    lines.push(`Where: ${file === undefined ? where : where.replaceAll(file.sql.trim(), file.name)}`);
  return new MoonguardError('migration_failed', lines.join('\n'), { cause });
}
