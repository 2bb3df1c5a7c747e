import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startPostgres } from '../../test/support/postgresServer.ts';
import { createEmptyDatabase } from '../../test/support/testDatabase.ts';
import { connectDatabase } from './connect.ts';
import type { Database } from './database.ts';
import { installerSql } from './installer.ts';
import { migrate, schemaStatus } from './migrate.ts';
import { type MigrationFile, readMigrationFiles } from './migrationFiles.ts';

const FIRST = migration(1, 'create table public.note (id int);\ninsert into public.note values (1);\n');
const SECOND = migration(
  2,
  "create function public.f() returns int language sql as $$ select 2 $$;\ncomment on function public.f() is 'two';\n",
);

describe.each(['postgres', 'embedded'] as const)('migrate (%s)', (kind) => {
  let database: Database;
  let drop: () => Promise<void>;

  beforeAll(async () => {
    const { url, drop: dropEmpty } =
      kind === 'postgres' ? await createEmptyDatabase() : { url: '', drop: async () => {} };
    drop = dropEmpty;
    database = await connectDatabase(kind === 'postgres' ? { databaseUrl: url } : { inMemory: true });
  });
  afterEach(() =>
    database.runScript('drop schema if exists moonguard cascade; drop schema public cascade; create schema public'),
  );
  afterAll(async () => {
    await database.close();
    await drop();
  });

  test('applies what is missing, once, in order', async () => {
    expect(await schemaStatus(database, [FIRST])).toEqual({
      current: 0,
      wanted: 1,
      pending: ['0001_test'],
      newer: false,
    });
    expect(await migrate(database, [FIRST])).toEqual({ applied: ['0001_test'], version: 1 });
    expect(await migrate(database, [FIRST, SECOND])).toEqual({ applied: ['0002_test'], version: 2 });
    expect(await migrate(database, [FIRST, SECOND])).toEqual({ applied: [], version: 2 });
    expect(await schemaStatus(database, [FIRST, SECOND])).toEqual({ current: 2, wanted: 2, pending: [], newer: false });

    const { rows } =
      await sql`select number, name, checksum, applied_by from moonguard.schema_migrations order by number`.execute(
        database.db,
      );
    expect(rows).toEqual([
      { number: 1, name: '0001_test', checksum: FIRST.checksum, applied_by: 'postgres' },
      { number: 2, name: '0002_test', checksum: SECOND.checksum, applied_by: 'postgres' },
    ]);
    expect((await sql`select id from note`.execute(database.db)).rows).toEqual([{ id: 1 }]);
  });

  test('leaves nothing behind when one fails, and says where', async () => {
    const broken = migration(2, 'create table public.other (id int);\n\ninsert into nowhere values (1);\n');
    await expect(migrate(database, [FIRST, broken])).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringMatching(
        /^Migration 0002_test failed at line 3: relation "nowhere" does not exist\nWhere: /,
      ),
      cause: expect.objectContaining({ code: '42P01' }),
    });

    const { rows } = await sql`select to_regnamespace('moonguard') as schema, to_regclass('note') as note`.execute(
      database.db,
    );
    expect(rows).toEqual([{ schema: null, note: null }]);
  });

  test('passes on what the database says about data', async () => {
    const broken = migration(2, 'insert into public.note values (1);\ncreate unique index on public.note (id);\n');
    await expect(migrate(database, [FIRST, broken])).rejects.toMatchObject({
      message: expect.stringMatching(
        /could not create unique index[^]*\nDetail: Key \(id\)=\(1\) is duplicated\.\nWhere: [^]*0002_test/,
      ),
    });
  });

  test('refuses a database that a newer program migrated', async () => {
    await migrate(database, [FIRST, SECOND]);
    await expect(migrate(database, [FIRST])).rejects.toMatchObject({ code: 'schema_newer' });
    expect(await schemaStatus(database, [FIRST])).toMatchObject({ current: 2, wanted: 1, newer: true });
  });

  test('refuses a migration that was changed after it was applied', async () => {
    await migrate(database, [FIRST]);
    await expect(migrate(database, [migration(1, `${FIRST.sql}\nselect 1;`)])).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringContaining('0001_test'),
    });
  });
});

describe('migrate on PostgreSQL', () => {
  test('lets one of several migrate while the others wait', async () => {
    const { url, drop } = await createEmptyDatabase();
    const rivals = await Promise.all(Array.from({ length: 3 }, () => connectDatabase({ databaseUrl: url })));
    const results = await Promise.all(rivals.map((rival) => migrate(rival)));

    const all = readMigrationFiles().map(({ name }) => name);
    expect(results.map(({ applied }) => applied.length).toSorted((a, b) => a - b)).toEqual([0, 0, all.length]);
    await Promise.all(rivals.map((rival) => rival.close()));
    await drop();
  });

  test('says that the database cannot be reached, not that a migration failed', async () => {
    const database = await connectDatabase({ databaseUrl: 'postgresql://127.0.0.1:1/none' });
    await expect(migrate(database, [FIRST])).rejects.toMatchObject({ code: 'database_unavailable' });
    await database.close();
  });

  test('gives up rather than make everybody wait behind a lock it does not get', async () => {
    const { url, drop } = await createEmptyDatabase();
    const database = await connectDatabase({ databaseUrl: url });
    await migrate(database, [FIRST]);
    const slow = migration(2, "set local lock_timeout = '50ms';\nalter table public.note add column body text;");
    await database.transaction(async (transaction) => {
      await sql`select from note`.execute(transaction);
      await expect(migrate(database, [FIRST, slow])).rejects.toMatchObject({ code: 'database_unavailable' });
    });
    await database.close();
    await drop();
  });
});

describe('readMigrationFiles', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'moonguard-migrations-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('reads the files in order, the same on a Windows checkout', () => {
    writeFileSync(join(folder, '0002_b.sql'), 'select 2;\r\n');
    writeFileSync(join(folder, '0001_a.sql'), 'select 1;\n');
    writeFileSync(join(folder, 'README.md'), '');
    expect(readMigrationFiles(folder)).toEqual([
      { number: 1, name: '0001_a', sql: 'select 1;\n', checksum: sha256('select 1;\n') },
      { number: 2, name: '0002_b', sql: 'select 2;\n', checksum: sha256('select 2;\n') },
    ]);
  });

  test.each([['0002_late.sql'], ['1_short.sql'], ['0001_a.sql', '0001_b.sql'], ['0001_a.sql', '0003_c.sql']])(
    'refuses %s %s',
    (...names) => {
      for (const name of names) writeFileSync(join(folder, name), '');
      expect(() => readMigrationFiles(folder)).toThrowError(expect.objectContaining({ code: 'migration_failed' }));
    },
  );
});

describe('on PostgreSQL 15, as the owner of the database who is no superuser', () => {
  test('the installer and migrate() take turns and end in the same schema', async () => {
    const server = await startPostgres(15);
    const administrator = new Client(server.url());
    await administrator.connect();
    await administrator.query(`create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
      create role owner login password 'owner'; grant anon, authenticated, service_role to owner`);
    await administrator.query('create database installed owner owner');
    await administrator.query('create database migrated owner owner');
    await administrator.end();
    const asOwner = (name: string): string => server.url(name).replace('postgres:password', 'owner:owner');

    const installed = await connectDatabase({ databaseUrl: asOwner('installed') });
    const installer = installerSql(readMigrationFiles());
    await installed.runScript(installer);
    await installed.runScript(installer);
    expect((await migrate(installed)).applied).toEqual([]);

    const migrated = await connectDatabase({ databaseUrl: asOwner('migrated') });
    await migrate(migrated);
    await migrated.runScript(installer);

    expect(await columnsOf(installed)).toEqual(await columnsOf(migrated));
    await installed.close();
    await migrated.close();
    await server.stop();
  });
});

async function columnsOf(database: Database): Promise<unknown[]> {
  const { rows } = await sql`
    select table_schema, table_name, column_name, data_type, is_nullable, column_default
    from information_schema.columns where table_schema in ('public', 'moonguard', 'moonguard_partitions')
    order by table_schema, table_name, column_name`.execute(database.db);
  return rows;
}

function migration(number: number, text: string): MigrationFile {
  return { number, name: `000${number}_test`, sql: text, checksum: sha256(text) };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
