import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CuttableProxy, startProxy } from '../../test/support/cuttableProxy.ts';
import { withDeadline } from '../../test/support/signals.ts';
import { openTestDatabase, type TestPostgres } from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import type { Database } from './database.ts';
import { prelude } from './installer.ts';
import { migrate } from './migrate.ts';
import { readMigrationFiles } from './migrationFiles.ts';
import { isUnavailable } from './unavailable.ts';

let server: TestPostgres;
let proxy: CuttableProxy;
let database: Database;

beforeEach(async () => {
  server = await openTestDatabase('postgres');
  proxy = await startProxy(server.url);
  database = await connectDatabase({ databaseUrl: proxy.url, silenceTimeoutMs: 300 });
});
afterEach(async () => {
  await database.close();
  await proxy.stop();
  await server.close();
});

const answer = async () => (await sql`select 1 as one`.execute(database.db)).rows;

test('a connection whose other end went away without a word is given up, and the next one works', async () => {
  expect(await answer()).toEqual([{ one: 1 }]);

  proxy.silence();
  const error: unknown = await answer().catch((thrown: unknown) => thrown);
  expect(isUnavailable(error)).toBe(true);

  proxy.restore();
  expect(await answer()).toEqual([{ one: 1 }]);
});

test('what may take its time is not given up for its silence', async () => {
  const sleep = () => sql`select pg_sleep(0.7)`.execute(database.db);
  await expect(sleep()).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  await database.unhurried(sleep);
  await expect(sleep()).rejects.toMatchObject({ code: 'ETIMEDOUT' });
});

test('whoever listens can stop at once, though nobody answers', async () => {
  const stop = await database.listen('somewhere', () => {});
  proxy.silence();
  await withDeadline(stop(), () => 'it waits', 3_000);
});

test('migrating waits for as long as another one takes', async () => {
  const { begun } = await server.transaction(async (transaction) => {
    for (const statement of prelude(readMigrationFiles())) await sql.raw(statement).execute(transaction);
    const migrating = migrate(database);
    migrating.catch(() => {}); // awaited below
    await sql`select pg_sleep(1)`.execute(transaction);
    return { begun: migrating };
  });
  expect(await begun).toMatchObject({ applied: [] });
});
