import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openTestDatabase, type TestPostgres } from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import type { Db } from './database.ts';

let database: TestPostgres;

beforeEach(async () => {
  // One connection, whose statements can be looked at and taken away.
  database = await openTestDatabase('postgres', { maxConnections: 1 });
  await database.runScript(`
    create function moonguard.twice(p_number integer) returns table (result integer) language sql as 'select 2 * p_number';
  `);
});
afterEach(() => database.close());

test('prepares the calls of our functions, once a connection, and nothing else', async () => {
  expect(await twice(database.db, 1)).toEqual([{ result: 2 }]);
  expect(await twice(database.db, 2)).toEqual([{ result: 4 }]);
  await sql`select ${1}::integer as one`.execute(database.db);

  expect(await preparedTexts()).toEqual(['select * from moonguard.twice($1)']);
});

test('goes on without, when a pooler hands the next statement to another connection', async () => {
  await twice(database.db, 1);
  await database.runScript('deallocate all');

  expect(await twice(database.db, 2)).toEqual([{ result: 4 }]);
  expect(await twice(database.db, 3)).toEqual([{ result: 6 }]);
  expect(await preparedTexts()).toEqual([]);
});

test('goes on without, when the connection has the statement already', async () => {
  await twice(database.db, 1);
  const [name] = (await sql<{ name: string }>`select name from pg_prepared_statements`.execute(database.db)).rows;
  const other = await connectDatabase({ databaseUrl: database.url, maxConnections: 1 });
  await other.runScript(`prepare ${name?.name} as select 'of another client'`);

  expect(await twice(other.db, 2)).toEqual([{ result: 4 }]);
  await other.close();
});

test('goes on without, when an upgrade lets the function return something else', async () => {
  await twice(database.db, 1);
  await database.runScript(`
    drop function moonguard.twice;
    create function moonguard.twice(p_number integer) returns table (result integer, of integer) language sql as 'select 2 * p_number, p_number';
  `);

  expect(await twice(database.db, 2)).toEqual([{ result: 4, of: 2 }]);
});

test('costs the transaction that meets it, and none after it', async () => {
  await twice(database.db, 1);
  await database.runScript('deallocate all');

  await expect(database.transaction((transaction) => twice(transaction, 2))).rejects.toMatchObject({ code: '26000' });
  expect(await database.transaction((transaction) => twice(transaction, 3))).toEqual([{ result: 6 }]);
});

test('passes on what the function itself refuses', async () => {
  await database.runScript(`
    create function moonguard.refuse(p_number integer) returns integer language plpgsql
    as 'begin raise exception using errcode = ''MG042'', message = ''no''; end';
  `);
  await expect(sql`select moonguard.refuse(${1})`.execute(database.db)).rejects.toMatchObject({ code: 'MG042' });
  await twice(database.db, 1);
  expect(await preparedTexts()).toContain('select * from moonguard.twice($1)');
});

async function twice(db: Db, number: number) {
  const { rows } = await sql`select * from moonguard.twice(${number})`.execute(db);
  return rows;
}

async function preparedTexts(): Promise<string[]> {
  const { rows } = await sql<{ text: string }>`select statement as text from pg_prepared_statements order by 1`.execute(
    database.db,
  );
  return rows.map(({ text }) => text);
}
