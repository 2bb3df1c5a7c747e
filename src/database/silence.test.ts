import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CuttableProxy, startProxy } from '../../test/support/cuttableProxy.ts';
import { openTestDatabase, type TestPostgres } from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import type { Database } from './database.ts';
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
