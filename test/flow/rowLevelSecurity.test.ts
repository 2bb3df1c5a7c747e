import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attempt, type Caller, signedIn } from '../support/caller.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const oneOfEverything = readFileSync(new URL('fixtures/one-of-everything.sql', import.meta.url), 'utf8');

const permissionDenied = { code: '42501', constraint: undefined };
const policyViolated = permissionDenied; // PostgreSQL gives both the same code
const nothing = { rows: 0 };
const one = { rows: 1 };

const analyst = signedIn('compliance_analyst', 'ana');
const officer = signedIn('compliance_officer');
const anon: Caller = { role: 'anon' };
const service: Caller = { role: 'service_role' };
const apiRoles = [
  ...['admin', 'compliance_officer', 'auditor', 'developer'].map((role) => signedIn(role)),
  analyst,
  anon,
  service,
];

forEachDatabase('Row Level Security and grants', (open) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
    await database.runScript(oneOfEverything);
  });
  afterAll(() => database.close());

  const as = (caller: Caller, ...statements: string[]) => attempt(database, caller, ...statements);
  const owner = async (query: string) => (await sql.raw<Record<string, unknown>>(query).execute(database.db)).rows;

  describe('an analyst', () => {
    const becomesAnalyst = `select set_config('request.jwt.claims', '${analyst.claims}', true)`;
    const others = `update moonpay_compliance_alerts set assigned_to = 'otto'`;
    const asAnalystAfter = async (preparation: string, statement: string) => {
      // The row is another's only for the time of this transaction.
      return as(service, preparation, becomesAnalyst, 'set local role authenticated', statement);
    };

    test("works on what is nobody's and takes it", async () => {
      expect(
        await as(analyst, "update moonpay_compliance_alerts set assigned_to = 'ana', status = 'in_review'"),
      ).toEqual(one);
    });

    test('works on what is his', async () => {
      const mine = "update moonpay_compliance_alerts set assigned_to = 'ana'";
      expect(await asAnalystAfter(mine, "update moonpay_compliance_alerts set title = 'mine'")).toEqual(one);
      expect(await asAnalystAfter(mine, 'update moonpay_compliance_alerts set assigned_to = null')).toEqual(one);
    });

    test("sees another's alert, and cannot change it", async () => {
      expect(await asAnalystAfter(others, 'select 1 from moonpay_compliance_alerts')).toEqual(one);
      expect(await asAnalystAfter(others, "update moonpay_compliance_alerts set title = 'mine'")).toEqual(nothing);
      expect(await asAnalystAfter(others, "update moonpay_compliance_alerts set assigned_to = 'ana'")).toEqual(nothing);
    });

    test('gives no alert to another, neither an old nor a new one', async () => {
      expect(await as(analyst, others)).toEqual(policyViolated);
      const create = (assignee: string) =>
        as(
          analyst,
          `insert into moonpay_compliance_alerts (alert_type, title, assigned_to) values ('aml_screening', 'x', '${assignee}')`,
        );
      expect(await create('otto')).toEqual(policyViolated);
      expect(await create('ana')).toEqual(one);
    });

    test.each([
      ['the customer of an alert', "customer_id = 'customer_1'", one],
      ['the transaction of an alert', "transaction_id = 't_1'", one],
      ['the customer as an entity', "entity_type = 'customer', entity_id = 'customer_1'", one],
      ['the transaction as an entity', "entity_type = 'transaction', entity_id = 't_1'", one],
      ['another customer', "customer_id = 'customer_2'", nothing],
      [
        'another kind of entity with the id of a customer',
        "entity_type = 'account', entity_id = 'customer_1'",
        nothing,
      ],
      ['nobody', 'customer_id = null', nothing],
    ])('reads rows of the log about %s: %j', async (_, subject, expected) => {
      const names = [...subject.matchAll(/(\w+) = /g)].map(([, name]) => name);
      const values = [...subject.matchAll(/= ('\w+'|null)/g)].map(([, value]) => value);
      const log = `insert into moonpay_policy_logs (policy_id, action_type, ${names.join(', ')}) values ('probe', 'rule_failed', ${values.join(', ')})`;
      expect(await asAnalystAfter(log, "select 1 from moonpay_policy_logs where policy_id = 'probe'")).toEqual(
        expected,
      );
    });

    test('proposes policies, and does not publish them', async () => {
      const propose = (isActive: boolean) =>
        `insert into moonpay_policies (name, type, is_active) values ('Mine', 'risk', ${isActive})`;
      expect(await as(analyst, propose(false))).toEqual(one);
      expect(await as(analyst, propose(true))).toEqual(policyViolated);
      expect(await as(analyst, 'update moonpay_policies set is_active = true')).toEqual(nothing);
      expect(
        await as(officer, 'update moonpay_policies set is_active = true where external_policy_id is null'),
      ).toEqual(one);
    });

    test('saves drafts of versions, and neither publishes nor retires them', async () => {
      const table = 'moonguard.policy_versions';
      expect(await as(analyst, `update ${table} set note = 'mine'`)).toEqual(one);
      expect(await as(analyst, `update ${table} set status = 'active'`)).toEqual(policyViolated);
      expect(await as(analyst, `update ${table} set status = 'retired'`)).toEqual(policyViolated);
      expect(await as(officer, `update ${table} set status = 'active'`)).toEqual(one);
      expect(
        await as(officer, `update ${table} set status = 'active'`, becomesAnalyst, `update ${table} set note = 'mine'`),
      ).toEqual(nothing);
      expect(await as(officer, `update ${table} set created_by = 'mine'`)).toEqual(permissionDenied);
    });
  });

  describe('claims', () => {
    const sees = (claims: string) => as({ role: 'authenticated', claims }, 'select 1 from moonpay_compliance_alerts');

    test('of user_metadata and of the root give no role: users write them themselves', async () => {
      expect(
        await sees(JSON.stringify({ sub: 'x', user_metadata: { moonpay_role: 'admin' }, moonpay_role: 'admin' })),
      ).toEqual(nothing);
      expect(
        await sees(JSON.stringify({ sub: 'x', role: 'admin', app_metadata: { role: 'admin', roles: ['admin'] } })),
      ).toEqual(nothing);
    });

    test.each([
      '',
      '{}',
      'null',
      '[]',
      '"admin"',
      '{"app_metadata": "admin"}',
      '{"app_metadata": null}',
      '{"app_metadata": {"moonpay_role": ["admin"]}}',
      '{"app_metadata": {"moonpay_role": null}}',
      '{"app_metadata": {"moonpay_role": "ADMIN"}}',
      '{"app_metadata": {"moonpay_role": "admin "}}',
    ])('%j give none either', async (claims) => expect(await sees(claims)).toEqual(nothing));

    test('that are no JSON are refused', async () => {
      expect(await sees('{"app_metadata": {"moonpay_role": "admin"')).toMatchObject({ code: '22P02' });
    });

    test('of one transaction are gone in the next', async () => {
      await as(signedIn('admin'), 'select 1');
      expect(await as({ role: 'authenticated' }, 'select 1 from moonpay_compliance_alerts')).toEqual(nothing);
    });
  });

  describe('a secret', () => {
    test('is nowhere in what any role can read, its writer included', async () => {
      const relations = await owner(`
        select format('%I.%I', n.nspname, c.relname) as name, r.name as role
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest(array['anon', 'authenticated', 'service_role']) as r (name)
        where n.nspname in ('public', 'moonguard', 'moonguard_partitions') and c.relkind in ('r', 'p', 'v', 'm')
          and has_schema_privilege(r.name, n.oid, 'usage') and has_any_column_privilege(r.name, c.oid, 'select')`);
      expect(relations.length).toBeGreaterThan(20);
      const write = `insert into moonpay_webhook_config (url, environment, events, secret_key) values ('https://x.example.com', 'production', '{*}', 'open sesame')`;
      for (const { name, role } of relations) {
        const find = `select 1 from ${String(name)} t where to_jsonb(t)::text like '%sesame%' or to_jsonb(t)::text like '%6f70656e20736573616d65%'`;
        const readers = apiRoles.filter((caller) => caller.role === role);
        for (const reader of readers) {
          const outcome = await as(reader, ...(reader.role === 'service_role' ? [write] : []), find);
          // A column of the relation may be refused; then nothing is read either.
          expect(
            [nothing, permissionDenied],
            `${String(name)} as ${reader.role} ${reader.claims ?? ''}`,
          ).toContainEqual(outcome);
        }
      }
      expect(await owner('select unsealed from moonguard.endpoint_secrets')).toEqual([{ unsealed: 'open sesame' }]);
    });

    test('is given by no function that a role may call', async () => {
      // Trigger functions cannot be called; of the others none reads a table that holds secrets.
      expect(
        await owner(`
          select distinct p.oid::regprocedure::text as name
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace, unnest(array['anon', 'authenticated', 'service_role']) as role
          where n.nspname in ('moonguard', 'public') and has_function_privilege(role, p.oid, 'execute') and p.prorettype <> 'trigger'::regtype
            and p.prosrc ~ 'secret|provider_keys'`),
      ).toEqual([]);
    });
  });

  describe('the policy log', () => {
    const changes = [
      "update moonpay_policy_logs set reason = 'x'",
      'delete from moonpay_policy_logs',
      'truncate moonpay_policy_logs',
      'truncate moonpay_policy_logs cascade',
    ];

    test.each(changes)('refuses service_role: %s', async (change) => {
      expect(await as(service, change)).toEqual(permissionDenied);
    });

    test.each(changes)('refuses the owner: %s', async (change) => {
      await expect(owner(change)).rejects.toMatchObject({ code: '23001' });
    });

    test.each(changes.slice(0, 3))(
      'refuses a role that was granted everything and says it is the retention: %s',
      async (change) => {
        await database.runScript('grant all on moonpay_policy_logs to service_role');
        try {
          expect(await as(service, "select set_config('moonguard.retention', 'on', true)", change)).toEqual({
            code: '23001',
            constraint: 'moonpay_policy_logs_append_only',
          });
        } finally {
          await database.runScript(
            'revoke update, delete, truncate, references, trigger on moonpay_policy_logs from service_role',
          );
        }
      },
    );

    test('is read and emptied through no partition', async () => {
      const partitions = await owner(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'moonpay_policy_logs'::regclass",
      );
      expect(partitions).toHaveLength(5);
      for (const { name } of partitions) {
        const direct = [
          `select 1 from ${String(name)}`,
          `delete from ${String(name)}`,
          `truncate ${String(name)}`,
          `insert into ${String(name)} select * from moonpay_policy_logs`,
        ];
        for (const caller of apiRoles) {
          for (const statement of direct) expect(await as(caller, statement), statement).toEqual(permissionDenied);
        }
        for (const change of [
          `delete from ${String(name)}`,
          `truncate ${String(name)}`,
          `update ${String(name)} set reason = 'x'`,
        ]) {
          const rows = await owner(`select 1 from ${String(name)}`);
          if (rows.length > 0 || change.startsWith('truncate'))
            await expect(owner(change)).rejects.toMatchObject({ code: '23001' });
        }
      }
    });

    test('has no two rows of one log_id, also in the form of our own ids', async () => {
      const insert =
        "insert into moonpay_policy_logs (policy_id, action_type, log_id) values ('p', 'rule_passed', 'log_019ab0000000700080000000000000ff')";
      expect(await as(service, insert, insert)).toEqual({
        code: '23505',
        constraint: 'moonpay_policy_logs_log_id_key',
      });
      expect(
        await as(
          service,
          insert,
          insert.replace('log_id)', 'log_id, executed_at)').replace("ff')", "ff', now() - interval '9 months')"),
        ),
      ).toEqual({
        code: '23505',
        constraint: 'moonpay_policy_logs_log_id_key',
      });
    });
  });

  test.each([
    "update moonguard.alert_timeline set actor = 'x'",
    'delete from moonguard.alert_timeline',
    'truncate moonguard.alert_timeline',
  ])('the timeline of alerts refuses its owner: %s', async (change) => {
    await expect(owner(change)).rejects.toMatchObject({ code: '23001' });
  });

  test.each(['cleanup_old_moonpay_policy_logs', 'archive_old_moonpay_compliance_alerts', 'get_moonpay_webhook_stats'])(
    '%s is for service_role alone',
    async (name) => {
      expect(await as(service, `select ${name}()`)).toEqual(one);
      for (const caller of apiRoles.filter(({ role }) => role !== 'service_role')) {
        expect(await as(caller, `select ${name}()`)).toEqual(permissionDenied);
      }
    },
  );

  test('whoever comes with an identity decides under it, whatever he writes', async () => {
    const resolve =
      "update moonpay_compliance_alerts set status = 'resolved', resolution_notes = 'n', resolved_by = 'somebody else'";
    expect(await as(analyst, resolve, "select 1 from moonpay_compliance_alerts where resolved_by = 'ana'")).toEqual(
      one,
    );
    expect(
      await as(analyst, resolve, "select 1 from moonpay_alert_timeline where action = 'moved' and actor = 'ana'"),
    ).toEqual(one);
  });

  test('policies ask for the role once for a statement, not for each row', async () => {
    const policies = await owner(`
      select format('%s.%s %s', schemaname, tablename, policyname) as name, concat_ws(' ', qual, with_check) as condition
      from pg_policies where concat_ws(' ', qual, with_check) ~ 'moonguard\\.|current_setting'`);
    expect(policies.length).toBeGreaterThan(15);
    for (const { name, condition } of policies) {
      // What a function says about the row itself, it must be asked for each.
      const called = String(condition).match(/\b(moonguard\.(?!names_confidential)\w+|current_setting)\(/g) ?? [];
      const wrapped = String(condition).match(/SELECT (moonguard\.\w+|current_setting)\(/g) ?? [];
      expect(wrapped, String(name)).toHaveLength(called.length);
    }
  });
});
