import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { installerSql } from '../../src/database/installer.ts';
import { migrate } from '../../src/database/migrate.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { createMoonguard } from '../../src/moonguard.ts';
import { type EmptyPostgres, onEveryPostgres } from '../support/emptyDatabase.ts';

const installer = installerSql(readMigrationFiles());
const supabaseRoles = readFileSync(new URL('fixtures/supabase-roles.sql', import.meta.url), 'utf8');
const existingTables = readFileSync(new URL('fixtures/existing-tables.sql', import.meta.url), 'utf8');

/** Whatever of ours a role may touch, by any privilege, its own or PUBLIC's. */
const reachableBy = (role: string) => `
  select format('%s.%s', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where (n.nspname in ('moonguard', 'moonguard_partitions') or (n.nspname = 'public' and c.relname like 'moonpay%'))
    and case when c.relkind = 'S' then has_sequence_privilege('${role}', c.oid, 'usage, select, update')
      when c.relkind in ('r', 'p', 'v', 'm') then
        has_table_privilege('${role}', c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege('${role}', c.oid, 'select, insert, update, references') end
  union all
  select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where (n.nspname = 'moonguard' or (n.nspname = 'public' and p.proname like '%moonpay%'))
    and has_function_privilege('${role}', p.oid, 'execute')
  union all
  select nspname from pg_namespace where nspname in ('moonguard', 'moonguard_partitions') and has_schema_privilege('${role}', oid, 'usage, create')`;

/** An endpoint, an alert that is decided, and a row of the log, through the services. */
async function useServices(database: EmptyPostgres): Promise<void> {
  const moonguard = await createMoonguard({
    database: await database.openProgram(),
    masterKey: Buffer.alloc(32, 7).toString('base64'),
  });
  const webhook = await moonguard.webhooks.createWebhook({
    url: 'https://shop.example.com/hook',
    events: ['transaction.completed'],
    environment: 'production',
  });
  await moonguard.webhooks.trackDeliveryAttempt(webhook.id, true);
  const alert = await moonguard.compliance.createAlert({
    alertType: 'aml_screening',
    severity: 'high',
    title: 'A hit',
  });
  await moonguard.compliance.updateAlertStatus(alert.id, 'resolved', 'Manual review completed', { actor: 'sam' });
  await moonguard.policies.logPolicyExecution({
    policyId: 'kyc_policy_001',
    actionType: 'rule_triggered',
    entityType: 'customer',
    entityId: 'customer_123',
    executionStatus: 'success',
  });
  expect(
    await database.run(`select (select count(*) from moonpay_webhook_config) as webhooks,
      (select count(*) from moonpay_compliance_alerts where status = 'resolved') as alerts,
      (select count(*) from moonpay_policy_logs) as logs, (select total_webhooks from get_moonpay_webhook_stats()) as counted,
      cleanup_old_moonpay_policy_logs(now() + interval '100 years') as removed,
      archive_old_moonpay_compliance_alerts(now() + interval '2 years') as archived`),
  ).toEqual([
    { webhooks: 1, alerts: 1, logs: expect.any(Number), counted: 1, removed: expect.any(Number), archived: 1 },
  ]);
}

onEveryPostgres('installing as the role postgres of Supabase', (create) => {
  /** A project's database, and a connection as the role that its SQL editor uses. */
  async function createProject(owner = 'postgres'): Promise<EmptyPostgres> {
    const database = await create(owner);
    await database.run(`
      alter schema public owner to supabase_postgres;
      do $$ begin execute format('grant create on database %I to supabase_postgres', current_database()); end $$;
      grant usage on schema public to anon, authenticated, service_role;
      alter default privileges for role supabase_postgres in schema public grant all on tables to anon, authenticated, service_role;
      alter default privileges for role supabase_postgres in schema public grant all on functions to anon, authenticated, service_role;
      alter default privileges for role supabase_postgres in schema public grant all on sequences to anon, authenticated, service_role;`);
    return database.as('supabase_postgres');
  }

  beforeAll(async () => {
    const administrator = await create();
    await administrator.run(`${supabaseRoles}
      create role supabase_postgres login password 'supabase_postgres' createrole createdb bypassrls;
      grant anon, authenticated, service_role to supabase_postgres;`);
  });

  test.each([
    ['owns', 'supabase_postgres'],
    ['may only create in', 'postgres'],
  ])('works where it %s the database', async (_, owner) => {
    const database = await createProject(owner);

    expect(await database.run(installer)).toEqual([]);

    expect(await migrate(await database.openProgram())).toMatchObject({ applied: [] });
    await useServices(database);
  });

  test('gives anon nothing, in spite of the default privileges', async () => {
    const database = await createProject();
    await database.run(installer);

    expect(await database.run(reachableBy('anon'))).toEqual([]);
  });

  test('makes partitions later that no role of the API can reach', async () => {
    const database = await createProject();
    await database.run(installer);
    await database.run('alter default privileges grant all on tables to public, anon, authenticated, service_role');

    expect(await database.run('select moonguard.ensure_policy_log_partitions(12) as made')).toEqual([{ made: 9 }]);

    for (const role of ['anon', 'authenticated', 'service_role']) {
      const reachable = await database.run(reachableBy(role));
      expect(reachable.filter(({ name }) => String(name).startsWith('moonguard_partitions'))).toEqual([]);
    }
  });

  test('leaves existing tables to the application that reaches them through the API', async () => {
    const database = await createProject();
    await database.run(`${existingTables} alter table moonpay_transactions enable row level security;`);

    const findings = await database.run(installer);

    const existing = ['moonpay_customers', 'moonpay_policies', 'moonpay_transactions', 'moonpay_webhook_events'];
    expect(await database.run(`${reachableBy('anon')} order by 1`)).toEqual(
      existing.map((table) => ({ name: `public.${table}` })),
    );
    expect(findings).toEqual(
      existing
        .filter((table) => table !== 'moonpay_transactions')
        .map((table) => ({
          table_name: table,
          reason: 'Row Level Security is off',
          resolution: expect.stringMatching(/^action needed: alter table public\.\w+ enable row level security/),
          rows: 1,
        })),
    );
  });
});

onEveryPostgres('installing as a plain role that owns the database', (create) => {
  test('works, and says what an administrator should do', async () => {
    const administrator = await create();
    await administrator.run(`${supabaseRoles} create role plain login password 'plain';`);
    const database = await (await create('plain')).as('plain');

    const findings = await database.run(installer);

    expect(findings.map(({ reason, resolution }) => [reason, resolution])).toEqual(
      ['anon', 'authenticated', 'service_role'].map((role) => [
        `plain may not act as ${role}`,
        `action needed: as an administrator: grant ${role} to plain`,
      ]),
    );
    await useServices(database);
    expect(await database.run('select moonguard.ensure_policy_log_partitions(5) as made')).toEqual([{ made: 2 }]);
  });
});

onEveryPostgres('installing where the roles of the API are missing', (create) => {
  test('refuses, and has done nothing, when they may not be made', async () => {
    const administrator = await create();
    await administrator.run("create role plain login password 'plain'");
    const owned = await create('plain');
    const database = await owned.as('plain');

    await expect(database.run(installer)).rejects.toMatchObject({
      message: 'the role anon is missing and plain may not create roles',
      hint: expect.stringContaining('create role anon nologin'),
    });
    await expect(migrate(await database.openProgram())).rejects.toMatchObject({ code: 'migration_failed' });

    expect(await owned.run("select nspname from pg_namespace where nspname like 'moonguard%'")).toEqual([]);
    expect(await owned.run("select relname from pg_class where relname like 'moonpay%'")).toEqual([]);
  });

  test('makes them when they may be made', async () => {
    const administrator = await create();
    await administrator.run("create role creator login createrole bypassrls password 'creator'");
    const database = await (await create('creator')).as('creator');

    const findings = await database.run(installer);

    const [{ version } = {}] = await database.run(
      "select current_setting('server_version_num')::int / 10000 as version",
    );
    // Only a superuser may give BYPASSRLS before PostgreSQL 16.
    expect(findings.map(({ resolution }) => resolution)).toEqual(
      version === 15 ? ['action needed: as a superuser: alter role service_role bypassrls'] : [],
    );
    expect(
      await database.run(`select rolname, rolcanlogin, rolsuper, pg_has_role(rolname, 'member') as member from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role') order by 1`),
    ).toEqual(
      ['anon', 'authenticated', 'service_role'].map((rolname) => ({
        rolname,
        rolcanlogin: false,
        rolsuper: false,
        member: true,
      })),
    );
    await useServices(database);
  });
});
