import { openAsBlob } from 'node:fs';
import { Client } from 'pg';
import { describe, inject } from 'vitest';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import type { PostgresOptions } from '../../src/database/postgres.ts';
import type { Observe } from '../../src/observe/observation.ts';

export type DatabaseKind = Database['kind'];

export interface TestDatabase extends Database {
  /** For further connections, as superuser; undefined on the embedded database, which has only one. */
  readonly url: string | undefined;
}

export interface TestPostgres extends TestDatabase {
  readonly url: string;
}

export interface TestDatabaseOptions extends Omit<PostgresOptions, 'databaseUrl'> {
  readonly observe?: Observe;
}

/** A fresh migrated database of its own. `close()` removes it. */
export async function openTestDatabase(kind: 'postgres', options?: TestDatabaseOptions): Promise<TestPostgres>;
export async function openTestDatabase(kind: DatabaseKind, options?: TestDatabaseOptions): Promise<TestDatabase>;
export async function openTestDatabase(kind: DatabaseKind, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  return kind === 'postgres' ? openPostgresDatabase(options) : openEmbeddedDatabase(options);
}

/** Runs the same tests on PostgreSQL and on the embedded database. */
export function forEachDatabase(
  name: string,
  tests: (open: (options?: TestDatabaseOptions) => Promise<TestDatabase>, kind: DatabaseKind) => void,
): void {
  describe.each<DatabaseKind>(['postgres', 'embedded'])(`${name} (%s)`, (kind) => {
    tests((options) => openTestDatabase(kind, options), kind);
  });
}

/** An empty PostgreSQL database, without migrations. */
export async function createEmptyDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  return createDatabase('template0');
}

async function openPostgresDatabase({ observe = () => {}, ...options }: TestDatabaseOptions): Promise<TestPostgres> {
  const { url, drop } = await createDatabase('moonguard_template');
  const database = await connectDatabase({ databaseUrl: url, ...options }, { observe });
  const close = async (): Promise<void> => {
    await database.close();
    await drop();
  };
  return { ...database, url, close };
}

async function openEmbeddedDatabase({ observe = () => {} }: TestDatabaseOptions): Promise<TestDatabase> {
  const loadDataDir = await openAsBlob(inject('embeddedSnapshot'));
  const database = await connectDatabase({ inMemory: true, loadDataDir }, { observe });
  return { ...database, url: undefined };
}

let created = 0;

async function createDatabase(template: string): Promise<{ url: string; drop: () => Promise<void> }> {
  const server = inject('postgresUrl');
  created += 1;
  const name = `test_${process.pid}_${created}`;
  await administer(server, `create database ${name} template ${template}`);
  const url = new URL(`/${name}`, server).href;
  return { url, drop: () => administer(server, `drop database if exists ${name} with (force)`) };
}

async function administer(server: string, statement: string): Promise<void> {
  const client = new Client(server);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
