import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { describe, expect, onTestFinished, test } from 'vitest';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import type { Database, Db } from '../database/database.ts';
import { systemRuntime } from '../runtime.ts';
import { createSecretBox } from '../secrets/secretBox.ts';
import type { Check, Patient } from './check.ts';
import { examine } from './doctor.ts';

const key = randomBytes(32);
const masterKey = key.toString('base64');
const webhookKeys = { sandbox: ['wk_test_0123456789abcdef'], production: [] };

/** What the doctor says about one thing. */
async function check(name: string, database: Database, patient: Partial<Patient> = {}): Promise<Check | undefined> {
  const defaults = { database, runtime: systemRuntime, masterKey, dataDirectory: undefined, webhookKeys };
  const checks = await examine({ ...defaults, ...patient });
  return checks.find((each) => each.name === name);
}

forEachDatabase('doctor', (open, kind) => {
  const openOne = async (): Promise<TestDatabase> => {
    const database = await open();
    onTestFinished(() => database.close());
    return database;
  };

  test('finds nothing wrong with a new installation that has its keys', async () => {
    const database = await openOne();
    const checks = await examine({
      database,
      runtime: systemRuntime,
      masterKey,
      dataDirectory: undefined,
      webhookKeys,
    });
    expect(checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(checks.map(({ name }) => name)).toEqual([
      'database',
      'clock',
      'schema',
      'row level security',
      'roles',
      'webhook keys',
      'master key',
      'policy log',
      'audit log',
      'notifications',
      'installation',
      'deliveries',
      'jobs',
    ]);
  });

  // The rest asks the same of both; one will do.
  if (kind === 'embedded') return;

  test('rows that nobody signs in time', async () => {
    const database = await openOne();
    await sql`insert into public.moonpay_policy_logs (policy_id, action_type) values ('p', 'rule_passed')`.execute(
      database.db,
    );
    expect(await check('audit log', database)).toMatchObject({ status: 'ok' });
    await sql`update moonguard.audit_queue set queued_at = queued_at - interval '1 minute'`.execute(database.db);
    expect(await check('audit log', database)).toMatchObject({
      status: 'warning',
      message: '1 rows wait for a signature, the oldest for 60 s; the log has no key',
      action: expect.stringContaining('moonguard audit key'),
    });
    await sql`update moonguard.audit_log set verifier_key = 'k'`.execute(database.db);
    expect(await check('audit log', database)).toMatchObject({
      status: 'warning',
      action: expect.stringContaining('MOONGUARD_LOG_KEY'),
    });
  });

  test('no webhook key at all', async () => {
    const none = { sandbox: [], production: [] };
    expect(await check('webhook keys', await openOne(), { webhookKeys: none })).toMatchObject({
      status: 'problem',
      message: expect.stringContaining('every webhook is refused'),
    });
  });

  test('a clock that differs', async () => {
    const database = await openOne();
    const behind = (ms: number) => ({ ...systemRuntime, now: () => systemRuntime.now() - ms });
    expect(await check('clock', database, { runtime: behind(5_000) })).toMatchObject({
      status: 'warning',
      message: expect.stringMatching(/^the database is 5\.\d s ahead of this machine$/),
    });
    expect(await check('clock', database, { runtime: behind(-60_000) })).toMatchObject({ status: 'problem' });
  });

  test('a schema that is not migrated ends the examination, since nothing else can be asked', async () => {
    const database = await openOne();
    await sql`delete from moonguard.schema_migrations where number = (select max(number) from moonguard.schema_migrations)`.execute(
      database.db,
    );
    const checks = await examine({
      database,
      runtime: systemRuntime,
      masterKey,
      dataDirectory: undefined,
      webhookKeys,
    });
    expect(checks.at(-1)).toMatchObject({ name: 'schema', status: 'problem', action: 'Run moonguard migrate.' });
    await sql`insert into moonguard.schema_migrations (number, name, checksum) values (9999, 'later', '')`.execute(
      database.db,
    );
    expect(await check('schema', database)).toMatchObject({ status: 'problem', action: 'Update Moonguard.' });
  });

  test('Row Level Security that is off: a problem on a table of ours, a warning on an adopted one', async () => {
    const database = await openOne();
    await sql`alter table public.moonpay_customers disable row level security`.execute(database.db);
    await sql`insert into moonguard.adopted_tables (table_name) values ('moonpay_customers')`.execute(database.db);
    expect(await check('row level security', database)).toMatchObject({
      status: 'warning',
      message: expect.stringContaining('public.moonpay_customers'),
    });
    await sql`alter table moonguard.deliveries disable row level security`.execute(database.db);
    const found = await check('row level security', database);
    expect(found).toMatchObject({ status: 'problem', message: expect.stringContaining('moonguard.deliveries') });
    await database.runScript(found?.action ?? '');
    expect(await check('row level security', database)).toMatchObject({ status: 'ok' });
  });

  test('a policy log without months ahead, or with rows that no month was there for', async () => {
    const database = await openOne();
    await sql`insert into public.moonpay_policy_logs (policy_id, action_type, executed_at) values ('kyc_policy_001', 'rule_passed', '2020-01-15')`.execute(
      database.db,
    );
    expect(await check('policy log', database)).toMatchObject({
      status: 'warning',
      message: '1 rows in the default partition',
    });
    const { rows } = await sql<{ month: string }>`
      select to_char(now() + interval '2 months', 'YYYY_MM') as month`.execute(database.db);
    await sql.raw(`drop table moonguard_partitions.moonpay_policy_logs_${rows[0]?.month}`).execute(database.db);
    const found = await check('policy log', database);
    expect(found).toMatchObject({ status: 'warning', message: expect.stringMatching(/no partition for 20\d\d-\d\d:/) });
    await database.runScript(found?.action ?? '');
    expect(await check('policy log', database)).toMatchObject({ message: '1 rows in the default partition' });
  });

  test('what the installer left to be done', async () => {
    const database = await openOne();
    await sql`insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
      values ('moonpay_webhook_config', '7', 'events is empty', 'action needed: the endpoint is inactive'),
        ('moonpay_webhook_config', '8', 'metadata is no object', 'corrected: kept')`.execute(database.db);
    expect(await check('installation', database)).toMatchObject({
      status: 'warning',
      message: expect.stringMatching(
        /^#\d+ moonpay_webhook_config 7 events is empty – action needed: the endpoint is inactive$/,
      ),
    });
  });

  test('deliveries that nobody takes, and those that wait for a person', async () => {
    const database = await openOne();
    await database.runScript(`
      insert into public.moonpay_webhook_events (event_type, event_data, signature) select 'x', '{}', '' from generate_series(1, 3);
      insert into public.moonpay_webhook_config (url, events) values ('https://example.com', array['*']);
      insert into moonguard.deliveries (event_id, endpoint_id, status, next_attempt_at, event_sequence)
        select e.id, c.id, (array['pending', 'held', 'exhausted'])[row_number() over ()], now() - interval '5 minutes', row_number() over ()
        from public.moonpay_webhook_events e, public.moonpay_webhook_config c`);
    expect(await check('deliveries', database)).toMatchObject({
      status: 'warning',
      message: expect.stringMatching(/^1 overdue, the oldest for 30\d s; 1 held; 1 exhausted$/),
      action: 'Is a server running? Start one with moonguard start.',
    });
  });

  test('notifications that do not arrive', async () => {
    const database = await openOne();
    const deaf: Database = { ...database, listen: async () => async () => {} };
    expect(await check('notifications', deaf)).toMatchObject({ status: 'warning' });
  });

  describe('the master key', () => {
    const withSecret = async (): Promise<TestDatabase> => {
      const database = await openOne();
      const id = systemRuntime.newId();
      const secretBox = createSecretBox(key);
      await sql`insert into moonguard.provider_keys (id, environment, sealed, key_id, fingerprint)
        values (${id}, 'sandbox', ${secretBox.seal('wk_test_x', id)}, ${secretBox.keyId}, 'x')`.execute(database.db);
      return database;
    };

    test('opens what is stored', async () => {
      expect(await check('master key', await withSecret())).toMatchObject({
        status: 'ok',
        message: expect.stringMatching(/^MOONGUARD_MASTER_KEY \([0-9a-f]{8}\) opens all 1 stored secrets$/),
      });
    });

    test('is missing, malformed or another one', async () => {
      const database = await withSecret();
      expect(await check('master key', database, { masterKey: undefined })).toMatchObject({
        status: 'problem',
        message: 'missing; 1 stored secrets need it',
      });
      expect(await check('master key', database, { masterKey: 'short' })).toMatchObject({
        status: 'problem',
        message: expect.stringContaining('must be 32 bytes in base64'),
      });
      expect(await check('master key', database, { masterKey: randomBytes(32).toString('base64') })).toMatchObject({
        status: 'problem',
        message: expect.stringContaining('does not open 1 of 1 stored secrets: provider key under'),
      });
    });

    test('has secrets to encrypt that SQL wrote', async () => {
      const database = await withSecret();
      await sql`insert into public.moonpay_webhook_config (url, events, secret_key) values ('https://example.com', array['*'], 'whsec_plain')`.execute(
        database.db,
      );
      expect(await check('master key', database)).toMatchObject({
        status: 'warning',
        message: expect.stringContaining('1 wait unencrypted'),
      });
    });
  });

  test('a role that the program may not act as', async () => {
    const database = await openOne();
    const run = async (transaction: Db, statements: readonly string[]): Promise<void> => {
      for (const statement of statements) await sql.raw(statement).execute(transaction);
    };
    await database.transaction(async (transaction) => {
      await run(transaction, [
        'create role doctor_test bypassrls',
        'grant usage on schema moonguard, moonguard_partitions to doctor_test',
        'grant select on all tables in schema public, moonguard, moonguard_partitions to doctor_test',
        'set local role doctor_test',
      ]);
      const limited: Database = { ...database, db: transaction };
      expect(await check('roles', limited)).toMatchObject({
        status: 'problem',
        message: 'doctor_test may not act as anon, authenticated, service_role',
        action: 'As an administrator: grant anon, authenticated, service_role to "doctor_test";',
      });
      // Roles belong to the server, which other tests use.
      await run(transaction, ['reset role', 'drop owned by doctor_test', 'drop role doctor_test']);
    });
  });
});
