import { sql } from 'kysely';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startProxy } from '../../test/support/cuttableProxy.ts';
import { observed } from '../../test/support/signals.ts';
import {
  forEachDatabase,
  openTestDatabase,
  type TestDatabase,
  type TestPostgres,
} from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import type { Db } from './database.ts';
import { transactionOf } from './transaction.ts';

forEachDatabase('Database', (open) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await open();
    await database.runScript(
      'create table public.note (id int primary key, body text); create table public.other (id int);',
    );
  });
  afterEach(() => database.close());

  test('reads every type in the same shape', async () => {
    const { rows } = await sql`
      select 9007199254740991::int8 as int8, 7::int4 as int4, 0.10::numeric as numeric, 0.5::float8 as float8, true as bool,
        timestamptz '2026-11-23 05:47:00.123456+05:30' as timestamptz, timestamp '2026-11-23 05:47:00.5' as timestamp,
        date '2026-11-23' as date, interval '1 day 2 hours' as interval, '\\x00ff'::bytea as bytea,
        '{"a": [1, null]}'::jsonb as jsonb, '"x"'::json as json, '192.0.2.1'::inet as inet,
        '019aaf5e-0000-7000-8000-000000000000'::uuid as uuid, 'text' as text, null::int8 as nothing,
        array['a,b', null, '"'] as texts, array[1, null]::int8[] as int8s, array[0.10]::numeric[] as numerics,
        array[timestamptz '2026-11-23 00:00:00Z'] as timestamptzs, array[date '2026-11-23'] as dates,
        array['\\x01'::bytea] as byteas, '{}'::int8[] as none`.execute(database.db);

    expect(rows).toEqual([
      {
        int8: 9007199254740991,
        int4: 7,
        numeric: '0.10',
        float8: 0.5,
        bool: true,
        timestamptz: new Date('2026-11-23T00:17:00.123Z'),
        timestamp: '2026-11-23 05:47:00.5',
        date: '2026-11-23',
        interval: '1 day 02:00:00',
        bytea: Buffer.from([0x00, 0xff]),
        jsonb: { a: [1, null] },
        json: 'x',
        inet: '192.0.2.1',
        uuid: '019aaf5e-0000-7000-8000-000000000000',
        text: 'text',
        nothing: null,
        texts: ['a,b', null, '"'],
        int8s: [1, null],
        numerics: ['0.10'],
        timestamptzs: [new Date('2026-11-23T00:00:00Z')],
        dates: ['2026-11-23'],
        byteas: [Buffer.from([0x01])],
        none: [],
      },
    ]);
  });

  test('takes the same parameters', async () => {
    const at = new Date('2026-11-23T05:47:00.123Z');
    const { rows } = await sql`
      select ${at}::timestamptz as at, ${9007199254740991}::int8 as int8, ${'0.10'}::numeric as numeric,
        ${Buffer.from([0, 255])}::bytea as bytea, ${JSON.stringify(['a', { b: 1 }])}::jsonb as jsonb, ${['x', null]}::text[] as texts,
        ${'2026-11-23'}::date as date, ${null}::text as nothing, ${'192.0.2.1'}::inet as inet`.execute(database.db);

    expect(rows).toEqual([
      {
        at,
        int8: 9007199254740991,
        numeric: '0.10',
        bytea: Buffer.from([0, 255]),
        jsonb: ['a', { b: 1 }],
        texts: ['x', null],
        date: '2026-11-23',
        nothing: null,
        inet: '192.0.2.1',
      },
    ]);
  });

  test('counts the rows that a statement changed', async () => {
    const inserted = await sql`insert into note values (1), (2)`.execute(database.db);
    expect(inserted.numAffectedRows).toBe(2n);
  });

  test('commits a transaction that resolves', async () => {
    const result = await database.transaction(async (transaction) => {
      await write(transaction, 1);
      return 'done';
    });
    expect(result).toBe('done');
    expect(await notes()).toEqual([1]);
  });

  test('rolls back a transaction that rejects, and passes the error on', async () => {
    const failure = new Error('no');
    await expect(
      database.transaction(async (transaction) => {
        await write(transaction, 1);
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await notes()).toEqual([]);
  });

  test('rejects when a swallowed error has aborted the transaction', async () => {
    await expect(
      database.transaction(async (transaction) => {
        await write(transaction, 1);
        await write(transaction, 1).catch(() => {});
      }),
    ).rejects.toThrow();
    expect(await notes()).toEqual([]);
  });

  test('joins a transaction: what was joined goes with the whole', async () => {
    const failure = new Error('later');
    await expect(
      database.transaction(async (outer) => {
        await database.transaction((joined) => write(joined, 1), outer);
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await notes()).toEqual([]);
  });

  test('runs a script whole or not at all', async () => {
    await database.runScript('insert into note values (1); insert into note values (2)');
    await expect(database.runScript('insert into note values (3); insert into note values (1)')).rejects.toThrow(
      /duplicate key/,
    );
    expect(await notes()).toEqual([1, 2]);
  });

  test('hands notifications over, committed ones only, until it is stopped', async () => {
    const heard: string[] = [];
    const first = Promise.withResolvers<void>();
    const stop = await database.listen('Moonguard_test', (payload) => {
      heard.push(payload);
      first.resolve();
    });
    const end = Promise.withResolvers<void>();
    await database.listen('moonguard_end', () => end.resolve());

    await database
      .transaction(async (transaction) => {
        await sql`select pg_notify('Moonguard_test', 'rolled back')`.execute(transaction);
        throw new Error('no');
      })
      .catch(() => {});
    await sql`select pg_notify('Moonguard_test', 'one')`.execute(database.db);
    await first.promise;
    await stop();
    await sql`select pg_notify('Moonguard_test', 'after')`.execute(database.db);
    await sql`select pg_notify('moonguard_end', '')`.execute(database.db);
    await end.promise;

    expect(heard).toEqual(['one']);
  });

  test('refuses queries once it is closed, and closes once', async () => {
    await database.close();
    await expect(notes()).rejects.toThrow();
    await database.close();
  });

  async function notes(): Promise<number[]> {
    const { rows } = await sql<{ id: number }>`select id from note order by id`.execute(database.db);
    return rows.map(({ id }) => id);
  }
});

async function write(db: Db, id: number): Promise<void> {
  await sql`insert into note values (${id}, 'body')`.execute(db);
}

describe("transactionOf a caller's own pg client", () => {
  let database: TestPostgres;
  let client: Client;

  beforeEach(async () => {
    database = await openTestDatabase('postgres');
    await database.runScript('create table public.note (id int primary key, body text)');
    client = new Client(database.url);
    await client.connect();
  });
  afterEach(async () => {
    await client.end();
    await database.close();
  });

  test('writes within it: the caller decides what becomes of the rows', async () => {
    await client.query('begin');
    await database.transaction((transaction) => write(transaction, 1), transactionOf(client));
    await client.query('rollback');
    await client.query('begin');
    await database.transaction((transaction) => write(transaction, 2), transactionOf(client));
    await client.query('commit');

    const { rows } = await client.query('select id from note');
    expect(rows).toEqual([{ id: 2 }]);
  });

  test('reads rows in our shape, whatever parsers the client has', async () => {
    await client.query('begin');
    const { rows } = await sql`select 1::int8 as int8, date '2026-11-23' as date`.execute(transactionOf(client));
    expect(rows).toEqual([{ int8: 1, date: '2026-11-23' }]);
  });

  test('never ends it', async () => {
    await client.query('begin');
    await expect(
      transactionOf(client)
        .transaction()
        .execute((nested) => write(nested, 1)),
    ).rejects.toMatchObject({ code: 'request_invalid' });
    expect(client.getTransactionStatus()).toBe('T');
  });

  test('wants one that is open', () => {
    expect(() => transactionOf(client)).toThrowError(expect.objectContaining({ code: 'request_invalid' }));
  });
});

describe('listening on PostgreSQL', () => {
  test('goes on after the connection was lost, and says that something may have been missed', async () => {
    const database = await openTestDatabase('postgres');
    const proxy = await startProxy(database.url);
    const { observe, next } = observed();
    const behindProxy = await connectDatabase({ databaseUrl: proxy.url }, { observe });
    const heard: string[] = [];
    let signal = Promise.withResolvers<void>();
    await behindProxy.listen('moonguard_test', (payload) => {
      heard.push(payload);
      signal.resolve();
    });

    const turnedAway = proxy.turnedAway(2);
    proxy.cut();
    const lost = await next((observation) => observation.type === 'database.listen_lost');
    await turnedAway;
    await notify(database.db, 'missed');
    expect(heard).toEqual([]);
    proxy.restore();
    await next((observation) => observation.type === 'database.listen_restored');
    await signal.promise;
    signal = Promise.withResolvers();
    await notify(database.db, 'again');
    await signal.promise;

    expect(lost).toMatchObject({ channel: 'moonguard_test' });
    expect(heard).toEqual(['', 'again']);
    await behindProxy.close();
    await proxy.stop();
    await database.close();
  });

  test('takes part in the restored connection when it begins while that is lost', async () => {
    const { observe, next } = observed();
    const database = await openTestDatabase('postgres', { observe });
    await database.listen('moonguard_first', () => {});

    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query like 'listen%'`.execute(database.db);
    const lost = await next((observation) => observation.type === 'database.listen_lost');
    expect(lost).toMatchObject({ reason: expect.stringContaining('terminating connection') });
    const called = Promise.withResolvers<string>();
    await database.listen('moonguard_test', called.resolve);
    expect(await called.promise).toBe('');
    await database.close();
  });
});

async function notify(db: Db, payload: string): Promise<void> {
  await sql`select pg_notify('moonguard_test', ${payload})`.execute(db);
}
