import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from '../src/database/database.ts';

/** The database that one variant has for itself. */
export interface BenchDatabase {
  /** On PostgreSQL: to tell its processes by, and for peers, which connect by themselves. */
  readonly server: { readonly databaseName: string; readonly url: string } | undefined;
  /** Connects. An embedded database is made at the same time, and ends with this process. */
  readonly open: () => Promise<Database>;
}

/** @param url of a migrated database; undefined: embedded */
export function benchDatabase(url: string | undefined): BenchDatabase {
  if (url === undefined) return { server: undefined, open: openEmbedded };
  return {
    server: { databaseName: new URL(url).pathname.slice(1), url },
    open: async () => (await import('../src/database/connect.ts')).connectDatabase({ databaseUrl: url }),
  };
}

async function openEmbedded(): Promise<Database> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'moonguard-bench-'));
  process.once('exit', () => rmSync(dataDirectory, { recursive: true }));
  const { connectDatabase } = await import('../src/database/connect.ts');
  const { migrate } = await import('../src/database/migrate.ts');
  const database = await connectDatabase({ dataDirectory });
  await migrate(database);
  return database;
}
