import { existsSync } from 'node:fs';
import { connectDatabase } from './database/connect.ts';
import { connectionError } from './database/connectionError.ts';
import type { Database } from './database/database.ts';
import { migrate, type SchemaStatus, schemaStatus } from './database/migrate.ts';
import { MoonguardError } from './errors.ts';
import { type Check, type Patient, problem } from './observe/check.ts';
import { examine } from './observe/doctor.ts';
import { installDefaultPolicies } from './policy/defaultPolicies.ts';
import { systemRuntime } from './runtime.ts';

/** What is done to a database from outside, without starting Moonguard on it. */

export interface DatabaseLocation {
  /** PostgreSQL or Supabase; undefined for the embedded database in `dataDirectory`. */
  readonly databaseUrl: string | undefined;
  readonly dataDirectory: string;
}

/** @throws MoonguardError database_unavailable, database_locked, migration_failed, schema_newer */
export function migrateDatabase(location: DatabaseLocation): Promise<{ applied: string[]; version: number }> {
  return withDatabase(location, async (database) => {
    const migrated = await migrate(database);
    await installDefaultPolicies(database);
    return migrated;
  });
}

/** @throws MoonguardError database_unavailable, database_locked */
export function readSchemaStatus(location: DatabaseLocation): Promise<SchemaStatus> {
  return withDatabase(location, (database) => schemaStatus(database));
}

/** Every check of the doctor; a database that cannot be opened is the only problem then. */
export async function diagnose(
  settings: DatabaseLocation & Pick<Patient, 'masterKey' | 'webhookKeys'>,
): Promise<Check[]> {
  const { databaseUrl, dataDirectory } = settings;
  // Opening the embedded database would make it.
  if (databaseUrl === undefined && !existsSync(dataDirectory)) {
    return [problem('database', `there is none in ${dataDirectory} yet`, 'Run moonguard start.')];
  }
  try {
    return await withDatabase(settings, (database) => examine({ ...settings, database, runtime: systemRuntime }));
  } catch (error) {
    if (error instanceof MoonguardError) return [problem('database', error.message, error.action)];
    throw error;
  }
}

async function withDatabase<T>(location: DatabaseLocation, work: (database: Database) => Promise<T>): Promise<T> {
  const { databaseUrl, dataDirectory } = location;
  const database = await connectDatabase(databaseUrl === undefined ? { dataDirectory } : { databaseUrl });
  try {
    return await work(database);
  } catch (error) {
    throw connectionError(error);
  } finally {
    await database.close();
  }
}
