import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { installerSql } from '../../src/database/installer.ts';
import { migrate } from '../../src/database/migrate.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { type EmptyDatabase, onEveryServer } from '../support/emptyDatabase.ts';
import { compareFacts, schemaFacts } from '../support/schemaFacts.ts';

const installer = installerSql(readMigrationFiles());
const existingTables = fixture('existing-tables.sql');
const existingTablesProtected = [
  fixture('supabase-roles.sql'),
  existingTables,
  fixture('existing-tables-protected.sql'),
].join('\n');

function fixture(name: string): string {
  return readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');
}

const existing = /moonpay_(webhook_events|transactions|customers|policies)\b/;

/** Their own columns keep their types, their checks their words, and their own triggers set updated_at. */
const theirOwn = /^(column|constraint|trigger CREATE TRIGGER set_updated_at) /;

const contents = `
  select 'customer' as kind, to_jsonb(t) as row from public.moonpay_customers t
  union all select 'transaction', to_jsonb(t) from public.moonpay_transactions t
  union all select 'policy', to_jsonb(t) from public.moonpay_policies t
  union all select 'event', to_jsonb(t) from public.moonpay_webhook_events t
  order by 1, 2`;

async function expectNothingToMigrate(database: EmptyDatabase): Promise<void> {
  const program = await database.openProgram();
  expect(await migrate(program)).toEqual({ applied: [], version: readMigrationFiles().length });
}

onEveryServer('the installer', (create) => {
  /** What an installation into an empty database comes to. */
  let wanted: string[];

  beforeAll(async () => {
    const database = await create();
    expect(await database.run(installer)).toEqual([]);
    wanted = await schemaFacts(database);
    await expectNothingToMigrate(database);
  });

  test('changes nothing when it is run again', async () => {
    const database = await create();
    await database.run(installer);
    await database.run("insert into moonpay_compliance_alerts (alert_type, title) values ('aml_screening', 'x')");
    await database.run(installer);

    expect(compareFacts(await schemaFacts(database), wanted)).toEqual({ missing: [], further: [] });
    expect(await database.run('select title from moonpay_compliance_alerts')).toEqual([{ title: 'x' }]);
    expect(await database.run('select 1 from moonguard.installation_findings')).toEqual([]);
  });

  test.each([
    ['without Row Level Security', existingTables],
    ['with Row Level Security', existingTablesProtected],
  ])('keeps existing tables %s, and ends in the same schema', async (_, tables) => {
    const database = await create();
    await database.run(tables);
    const before = await database.run(contents);
    const theirs = await schemaFacts(database);

    await database.run(installer);

    expect(await database.run(contents)).toMatchObject(before);
    const { missing, further } = compareFacts(await schemaFacts(database), wanted);
    expect(missing.filter((fact) => !existing.test(fact))).toEqual([]);
    // What we have besides is theirs, or theirs made wider, or packed otherwise.
    const asTheirs = further.map((fact) => fact.replace(/\{(toast_tuple_target|fillfactor)=\d+\}$/, ''));
    expect(asTheirs.filter((fact) => !theirs.includes(fact) && !/^(column|constraint) /.test(fact))).toEqual([]);
    expect(further.filter((fact) => !existing.test(fact))).toEqual([]);
    await expectNothingToMigrate(database);
  });

  test('adds to existing tables whatever the program needs, and its policies where Row Level Security is on', async () => {
    const database = await create();
    await database.run(existingTablesProtected);
    await database.run(installer);

    const { missing } = compareFacts(await schemaFacts(database), wanted);
    expect(missing.filter((fact) => !theirOwn.test(fact))).toEqual([]);
  });

  test('says how to protect existing tables, and that works', async () => {
    const database = await create();
    await database.run(existingTables);
    const found = await database.run(installer);
    expect(found).toHaveLength(4);

    for (const { resolution } of found) await database.run(String(resolution).replace('action needed: ', ''));

    const { missing } = compareFacts(await schemaFacts(database), wanted);
    expect(missing.filter((fact) => !theirOwn.test(fact))).toEqual([]);
  });

  test('lets existing tables hold every event and every state of MoonPay', async () => {
    const database = await create();
    await database.run(existingTables);
    await database.run(installer);
    await database.run(`
      insert into moonpay_webhook_events (event_type, event_data, signature) values (repeat('a new type of event ', 20), '{}', 's');
      insert into moonpay_transactions (type, status) values ('sell', 'waitingForDeposit'), ('sell', 'requoteRequired'), ('buy', 'cancelled')`);
    await expect(
      database.run("insert into moonpay_transactions (type, status) values ('buy', 'no state')"),
    ).rejects.toThrow(/moonpay_transactions_status_check/);
  });

  test.each([
    ['a view', 'create view moonpay_policy_logs as select 1 as id', 'public.moonpay_policy_logs is a view'],
    [
      'a table of other ids',
      'create table moonpay_webhook_events (id bigint primary key)',
      'moonpay_webhook_events.id is bigint',
    ],
  ])('refuses %s that it cannot work with, and changes nothing', async (_, obstacle, message) => {
    const database = await create();
    await database.run(`${existingTables}; drop table moonpay_webhook_events; ${obstacle}`);
    const before = await schemaFacts(database);

    await expect(database.run(installer)).rejects.toMatchObject({
      message,
      hint: expect.stringContaining('Moonguard needs'),
    });

    await database.run('rollback');
    expect(await schemaFacts(database)).toEqual(before);
  });
});
