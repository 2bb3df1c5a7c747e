import type { Observe } from '../observe/observation.ts';
import { type Runtime, systemRuntime } from '../runtime.ts';
import type { Database } from './database.ts';
import { type EmbeddedOptions, type InMemoryOptions, openEmbedded, openInMemory } from './embedded.ts';
import { openPostgres, type PostgresOptions } from './postgres.ts';

export type DatabaseOptions = PostgresOptions | EmbeddedOptions | InMemoryOptions;

/**
 * Opens a database: PostgreSQL or Supabase by URL, the embedded one by directory, or one in memory for tests. On
 * PostgreSQL the first query makes the first connection. Migrates nothing.
 *
 * @throws MoonguardError `database_locked` when another process has the data directory open.
 */
export async function connectDatabase(
  options: DatabaseOptions,
  { observe = () => {}, runtime = systemRuntime }: { observe?: Observe; runtime?: Pick<Runtime, 'now'> } = {},
): Promise<Database> {
  if ('databaseUrl' in options) return openPostgres(options, observe);
  if ('inMemory' in options) return openInMemory(options);
  return openEmbedded(options, () => runtime.now());
}
