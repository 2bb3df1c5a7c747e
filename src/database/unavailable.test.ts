import { sql } from 'kysely';
import { Client } from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { openTestDatabase, type TestPostgres } from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import { isUnavailable } from './unavailable.ts';

describe('isUnavailable', () => {
  let database: TestPostgres | undefined;
  afterEach(() => database?.close());

  test('when nothing listens there, also for listening', async () => {
    const nobody = await connectDatabase({ databaseUrl: 'postgresql://localhost:1/none' });
    expect(isUnavailable(await failureOf(sql`select 1`.execute(nobody.db)))).toBe(true);
    expect(isUnavailable(await failureOf(nobody.listen('channel', () => {})))).toBe(true);
    await nobody.close();
  });

  test('when a statement takes too long', async () => {
    database = await openTestDatabase('postgres', { statementTimeoutMs: 50 });
    expect(isUnavailable(await failureOf(sql`select pg_sleep(10)`.execute(database.db)))).toBe(true);
  });

  test('when no connection of the pool becomes free in time', async () => {
    database = await openTestDatabase('postgres', { maxConnections: 1, connectionTimeoutMs: 50 });
    const { db } = database;
    const failure = database.transaction(() => failureOf(sql`select 1`.execute(db)));
    expect(isUnavailable(await failure)).toBe(true);
  });

  test('when the server ends the session, in a statement or between two; one that nobody used is just replaced', async () => {
    database = await openTestDatabase('postgres');
    const administrator = new Client(database.url);
    await administrator.connect();
    const endOtherSessions = (): Promise<unknown> =>
      administrator.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`);
    const { db } = database;

    const between = await failureOf(
      database.transaction(async (transaction) => {
        await sql`select 1`.execute(transaction);
        await endOtherSessions();
        await sql`select 1`.execute(transaction);
      }),
    );
    expect(isUnavailable(between)).toBe(true);

    await sql`select 1`.execute(db);
    await endOtherSessions();
    await sql`select 1`.execute(db);

    const within = await failureOf(sql`select pg_terminate_backend(pg_backend_pid())`.execute(db));
    expect(isUnavailable(within)).toBe(true);
    await administrator.end();
  });

  test('when a transaction was left open for too long', async () => {
    database = await openTestDatabase('postgres', { idleInTransactionTimeoutMs: 50 });
    const { db } = database;
    const failure = await failureOf(
      database.transaction(async (transaction) => {
        await sql`select 1`.execute(transaction);
        await sql`select pg_sleep(0.2)`.execute(db);
        await sql`select 1`.execute(transaction);
      }),
    );
    expect(isUnavailable(failure)).toBe(true);
  });

  test.each(['postgres', 'embedded'] as const)('when it was closed (%s)', async (kind) => {
    const closed = await openTestDatabase(kind);
    await closed.close();
    expect(isUnavailable(await failureOf(sql`select 1`.execute(closed.db)))).toBe(true);
  });

  test('when the server has no room for another connection', async () => {
    database = await openTestDatabase('postgres');
    await sql`create role crowded login password 'crowded' connection limit 0`.execute(database.db);
    const url = new URL(database.url);
    [url.username, url.password] = ['crowded', 'crowded'];
    const crowded = await connectDatabase({ databaseUrl: url.href });
    expect(isUnavailable(await failureOf(sql`select 1`.execute(crowded.db)))).toBe(true);
    await sql`drop role crowded`.execute(database.db);
  });

  test.each(['selectt', 'select 1/0', 'select * from nowhere', "select '{'::jsonb"])(
    'not when the statement is wrong: %s',
    async (text) => {
      database = await openTestDatabase('postgres');
      expect(isUnavailable(await failureOf(sql.raw(text).execute(database.db)))).toBe(false);
    },
  );
});

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}
