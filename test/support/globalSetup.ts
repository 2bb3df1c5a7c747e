import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { connectDatabase } from '../../src/database/connect.ts';
import { migrate } from '../../src/database/migrate.ts';
import { migratedSnapshot } from './embeddedSnapshot.ts';
import { type PostgresServer, startPostgres } from './postgresServer.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A running PostgreSQL 18, as superuser; its database `moonguard_template` is migrated. */
    postgresUrl: string;
    /** File with a migrated embedded database, as `dumpDataDir()` gives it. */
    embeddedSnapshot: string;
  }
}

/** Once per run: a PostgreSQL with a migrated template, and a snapshot of the same for the embedded database. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgres();
  await migrateTemplate(server);
  project.provide('postgresUrl', server.url());
  project.provide('embeddedSnapshot', await migratedSnapshot());
  return () => server.stop();
}

async function migrateTemplate(server: PostgresServer): Promise<void> {
  const client = new Client(server.url());
  await client.connect();
  await client.query('create database moonguard_template');
  await client.end();
  const template = await connectDatabase({ databaseUrl: server.url('moonguard_template') });
  await migrate(template);
  await template.close();
}
