import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { connectDatabase } from '../src/database/connect.ts';
import type { Database } from '../src/database/database.ts';
import { migrate } from '../src/database/migrate.ts';
import { startPostgres } from '../test/support/postgresServer.ts';

/** A migrated database of the bench's own. `close()` removes it. */
export interface BenchDatabase extends Database {
  /** On PostgreSQL: to tell its processes by, and for peers that connect by themselves. */
  readonly server: { readonly databaseName: string; readonly url: string } | undefined;
  /** One more beside it, which is closed first. */
  readonly openAnother: () => Promise<BenchDatabase>;
}

/** @param databaseUrl a PostgreSQL that is running already; without it one is started, with fsync as it ships */
export async function openBenchDatabase(
  kind: Database['kind'],
  databaseUrl: string | undefined,
): Promise<BenchDatabase> {
  return kind === 'embedded' ? openEmbedded() : openPostgres(databaseUrl);
}

async function openEmbedded(): Promise<BenchDatabase> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'moonguard-bench-'));
  const database = await connectDatabase({ dataDirectory });
  await migrate(database);
  const close = async (): Promise<void> => {
    await database.close();
    rmSync(dataDirectory, { recursive: true });
  };
  return { ...database, server: undefined, close, openAnother: openEmbedded };
}

async function openPostgres(databaseUrl: string | undefined): Promise<BenchDatabase> {
  const started = databaseUrl === undefined ? await startPostgres(18, { durable: true }) : undefined;
  const serverUrl = started?.url() ?? databaseUrl ?? '';
  const administration = new Client(serverUrl);
  await administration.connect();
  await requireDurability(administration);
  const database = await createDatabase(administration, serverUrl, `moonguard_bench_${process.pid}`);
  const close = async (): Promise<void> => {
    await database.close();
    await administration.end();
    await started?.stop();
  };
  return { ...database, close };
}

async function createDatabase(administration: Client, serverUrl: string, databaseName: string): Promise<BenchDatabase> {
  await administration.query(`create database ${databaseName}`);
  const url = new URL(serverUrl);
  url.pathname = databaseName;
  const database = await connectDatabase({ databaseUrl: url.href });
  await migrate(database);
  const close = async (): Promise<void> => {
    await database.close();
    await administration.query(`drop database ${databaseName} with (force)`);
  };
  const openAnother = (): Promise<BenchDatabase> => createDatabase(administration, serverUrl, `${databaseName}_more`);
  return { ...database, server: { databaseName, url: url.href }, close, openAnother };
}

/** What a loss of power would take back is faster than what is promised; whoever brings such a server hears of it. */
async function requireDurability(client: Client): Promise<void> {
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const { rows } = await client.query<{ value: string }>('select current_setting($1) as value', [setting]);
    if (rows[0]?.value !== 'on')
      console.error(`The database runs with ${setting} = ${rows[0]?.value}: figures are too good.`);
  }
}
