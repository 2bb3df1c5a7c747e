import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('the SQL functions for maintenance', (open) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await open();
  });
  afterEach(() => database.close());

  const query = async (text: string): Promise<Record<string, unknown>[]> =>
    (await sql.raw<Record<string, unknown>>(text).execute(database.db)).rows;
  const only = async (text: string) => Object.values((await query(text))[0] ?? {})[0];

  describe('partitions of the policy log', () => {
    const log = (executedAt: string) =>
      query(
        `insert into moonpay_policy_logs (policy_id, action_type, executed_at) values ('p', 'rule_passed', '${executedAt}')`,
      );
    const partitionsOf = () =>
      query(`select tableoid::regclass::text as partition, executed_at from moonpay_policy_logs order by executed_at`);

    test('are months of UTC, whatever the time zone of the session that makes them', async () => {
      for (const [zone, month] of [
        ['Pacific/Kiritimati', '2031-01-15'],
        ['Pacific/Pago_Pago', '2031-02-15'],
        ['UTC', '2031-03-15'],
      ]) {
        await database.transaction(async (transaction) => {
          await sql.raw(`set local timezone = '${zone}'`).execute(transaction);
          await sql.raw(`select moonguard.ensure_policy_log_partition('${month}')`).execute(transaction);
        });
      }
      for (const moment of [
        '2031-01-01 00:00+00',
        '2031-01-31 23:59:59.999+00',
        '2031-02-01 00:00+00',
        '2031-02-28 23:59+00',
        '2031-03-01 00:00+00',
      ]) {
        await log(moment);
      }

      expect((await partitionsOf()).map(({ partition }) => String(partition).slice(-7))).toEqual([
        '2031_01',
        '2031_01',
        '2031_02',
        '2031_02',
        '2031_03',
      ]);
    });

    test('take over the rows that came before them', async () => {
      await log('2032-05-10');
      await log('2032-06-10');
      expect((await partitionsOf()).map(({ partition }) => partition)).toEqual([
        'moonguard_partitions.moonpay_policy_logs_default',
        'moonguard_partitions.moonpay_policy_logs_default',
      ]);

      expect(await only("select moonguard.ensure_policy_log_partition('2032-05-01')")).toBe(true);
      expect(await only("select moonguard.ensure_policy_log_partition('2032-05-31')")).toBe(false);

      expect((await partitionsOf()).map(({ partition }) => partition)).toEqual([
        'moonguard_partitions.moonpay_policy_logs_2032_05',
        'moonguard_partitions.moonpay_policy_logs_default',
      ]);
    });

    test('are as protected as the first ones', async () => {
      await query('select moonguard.ensure_policy_log_partitions(24)');
      await expect(query('truncate moonguard_partitions.moonpay_policy_logs_default')).rejects.toThrow('append-only');
      expect(
        await query(`select c.relname from pg_class c where c.relnamespace = 'moonguard_partitions'::regnamespace and c.relkind = 'r' and not (
          c.relrowsecurity and exists (select from pg_policy where polrelid = c.oid)
          and (select count(*) from pg_trigger where tgrelid = c.oid and tgname in
            ('moonpay_policy_logs_append_only', 'moonpay_policy_logs_no_truncate', 'moonpay_policy_logs_before_insert')) = 3)`),
      ).toEqual([]);
    });
  });

  describe('cleanup_old_moonpay_policy_logs', () => {
    const old = (values: Record<string, string | number | boolean>) => {
      const row = { policy_id: 'p', action_type: 'rule_passed', executed_at: '2015-01-01', ...values };
      const literals = Object.values(row).map((value) => (typeof value === 'string' ? `'${value}'` : String(value)));
      return query(
        `insert into moonpay_policy_logs (${Object.keys(row).join(', ')}) values (${literals.join(', ')}) returning id`,
      );
    };
    const cleanup = (now = 'now()') => only(`select cleanup_old_moonpay_policy_logs(${now}::timestamptz)`);
    const left = async () =>
      (await query("select log_id from moonpay_policy_logs where source is distinct from 'retention' order by 1")).map(
        ({ log_id }) => log_id,
      );

    test('removes what is past its retention, to the day', async () => {
      await old({ log_id: 'a', executed_at: '2020-01-01', retention_period_days: 10 });
      await old({ log_id: 'b', executed_at: '2020-01-01', retention_period_days: 11 });
      await old({ log_id: 'c', executed_at: '2020-01-01', retention_period_days: 365_000 });

      expect(await cleanup("'2020-01-11'")).toBe(0);
      expect(await cleanup("'2020-01-11 00:00:01'")).toBe(1);
      expect(await left()).toEqual(['b', 'c']);
      expect(await cleanup()).toBe(1);
      expect(await cleanup()).toBe(0);
      expect(await left()).toEqual(['c']);
    });

    test('keeps what somebody has to follow up', async () => {
      await old({ log_id: 'open', follow_up_required: true });
      await old({ log_id: 'closed', follow_up_required: false });

      expect(await cleanup()).toBe(1);
      expect(await left()).toEqual(['open']);
    });

    test.each([
      ["customer_id) values ('c'", { customer_id: 'c' }, { customer_id: 'd' }],
      ["transaction_id) values ('t'", { transaction_id: 't' }, {}],
      ["policy_id) values ('held'", { policy_id: 'held' }, { policy_id: 'p' }],
      ["correlation_id) values ('x'", { correlation_id: 'x' }, { correlation_id: 'y' }],
      [
        "executed_from, executed_to) values ('2014-01-01', '2014-12-31'",
        { executed_at: '2014-12-31' },
        { executed_at: '2015-01-01' },
      ],
      [
        "customer_id, policy_id) values ('c', 'held'",
        { customer_id: 'c', policy_id: 'held' },
        { customer_id: 'c', policy_id: 'p' },
      ],
    ])('keeps what a legal hold covers: %s', async (hold, held, free) => {
      await query(`insert into moonguard.legal_holds (reason, ${hold.replace('values (', "values ('case 7', ")})`);
      await old({ log_id: 'held', ...held });
      await old({ log_id: 'free', ...free });

      expect(await cleanup()).toBe(1);
      expect(await left()).toEqual(['held']);

      await query("update moonguard.legal_holds set lifted_at = now(), lifted_by = 'sam', lifted_reason = 'closed'");
      expect(await cleanup()).toBe(1);
    });

    test('goes on when there are more than fit one batch, and leaves a record of all', async () => {
      await query(`insert into moonpay_policy_logs (policy_id, action_type, executed_at)
        select 'p', 'rule_passed', timestamptz '2015-01-01 00:00+00' + n * interval '1 minute' from generate_series(1, 10500) n`);

      expect(await cleanup()).toBe(10_500);
      expect(
        await query(
          'select task, removed_count, oldest, newest, length(ids_digest) as digest from moonguard.retention_runs',
        ),
      ).toEqual([
        {
          task: 'cleanup_old_moonpay_policy_logs',
          removed_count: 10_500,
          oldest: new Date('2015-01-01T00:01:00Z'),
          newest: new Date('2015-01-08T07:00:00Z'),
          digest: 64,
        },
      ]);
    });

    test('says with a digest which rows went', async () => {
      const ids = [...(await old({})), ...(await old({}))].map(({ id }) => String(id)).toSorted();
      await cleanup();

      const digest = createHash('sha256').update(ids.join(',')).digest('hex');
      expect(await query('select ids_digest from moonguard.retention_runs')).toEqual([{ ids_digest: digest }]);
    });

    test('leaves no way open to remove rows afterwards', async () => {
      await old({ retention_period_days: 365_000 });
      const cleanUpAndDelete = database.transaction(async (transaction) => {
        await sql`select cleanup_old_moonpay_policy_logs()`.execute(transaction);
        await sql`delete from moonpay_policy_logs`.execute(transaction);
      });

      await expect(cleanUpAndDelete).rejects.toThrow('append-only');
      expect(await left()).toHaveLength(1);
    });
  });

  describe('archive_old_moonpay_compliance_alerts', () => {
    const alert = (id: string, status: string) =>
      query(`insert into moonpay_compliance_alerts (alert_id, alert_type, title, status, resolved_by, resolution_notes, resolved_at)
        values ('${id}', 'aml_screening', 'x', '${status}', 'sam', 'n', '2025-03-10 12:00+00')`);
    const archive = (now: string) => only(`select archive_old_moonpay_compliance_alerts('${now}')`);

    test('archives what was decided more than a year ago, once', async () => {
      for (const status of ['resolved', 'dismissed', 'open', 'in_review', 'escalated']) await alert(status, status);

      expect(await archive('2026-03-10 12:00+00')).toBe(0);
      expect(await archive('2026-03-10 12:00:01+00')).toBe(2);
      expect(await archive('2026-03-11')).toBe(0);
      expect(
        await query(
          'select alert_id, metadata from moonpay_compliance_alerts where archived_at is not null order by 1',
        ),
      ).toEqual([
        { alert_id: 'dismissed', metadata: { archived: true } },
        { alert_id: 'resolved', metadata: { archived: true } },
      ]);
      expect(await query('select task, removed_count, oldest, newest from moonguard.retention_runs')).toEqual([
        {
          task: 'archive_old_moonpay_compliance_alerts',
          removed_count: 2,
          oldest: new Date('2025-03-10T12:00:00Z'),
          newest: new Date('2025-03-10T12:00:00Z'),
        },
      ]);
    });

    test('goes by the days of the settings, over a change of the clocks as well', async () => {
      await alert('decided', 'resolved');
      await query('update moonguard.alert_settings set archive_after_days = 30');

      expect(await archive('2025-04-09 11:59+00')).toBe(0);
      expect(await archive('2025-04-09 12:01+00')).toBe(1);
    });

    test.each([
      ["customer_id) values ('c'", "customer_id = 'c'"],
      ["transaction_id) values ('t'", "transaction_id = 't'"],
      ["correlation_id) values ('x'", "correlation_id = 'x'"],
      ["executed_from, executed_to) values ('2025-02-01', '2025-02-28'", "triggered_at = '2025-02-28'"],
      ["customer_id, transaction_id) values ('c', 't'", "customer_id = 'c', transaction_id = 't'"],
    ])('leaves in the lists what a legal hold covers: %s', async (hold, covered) => {
      await query(`insert into moonguard.legal_holds (reason, ${hold.replace('values (', "values ('case 7', ")})`);
      for (const id of ['held', 'free']) await alert(id, 'dismissed');
      await query(`update moonpay_compliance_alerts set customer_id = 'c', triggered_at = '2025-03-01'`);
      await query(
        `update moonpay_compliance_alerts set customer_id = 'd', correlation_id = 'y' where alert_id = 'free'`,
      );
      await query(`update moonpay_compliance_alerts set ${covered} where alert_id = 'held'`);

      expect(await archive('2027-01-01')).toBe(1);
      expect(await query('select alert_id from moonpay_compliance_alerts where archived_at is null')).toEqual([
        { alert_id: 'held' },
      ]);
      await query("update moonguard.legal_holds set lifted_at = now(), lifted_by = 'sam', lifted_reason = 'closed'");
      expect(await archive('2027-01-01')).toBe(1);
    });

    test('a hold on a policy covers no alert', async () => {
      await query("insert into moonguard.legal_holds (reason, customer_id, policy_id) values ('case 7', 'c', 'p')");
      await alert('decided', 'dismissed');
      await query("update moonpay_compliance_alerts set customer_id = 'c'");
      expect(await archive('2027-01-01')).toBe(1);
    });

    test('passes over what cannot be changed, and goes on when there are more than fit one batch', async () => {
      await query(`insert into moonpay_compliance_alerts (alert_id, alert_type, title, status, resolved_by, resolution_notes, resolved_at)
        select 'alert_' || n, 'aml_screening', 'x', 'resolved', 'sam', 'n', timestamptz '2025-01-01 00:00+00' + n * interval '1 second'
        from generate_series(1, 1100) as n`);
      await query("alter table moonpay_compliance_alerts add check (alert_id <> 'alert_1') not valid");

      expect(await archive('2027-01-01')).toBe(1_099);
      expect(await query('select removed_count from moonguard.retention_runs')).toEqual([{ removed_count: 1_099 }]);
    });
  });

  test('get_moonpay_webhook_stats counts endpoints that are not deleted, and the success of those that were tried', async () => {
    const stats = () =>
      query(
        'select total_webhooks, active_webhooks, failed_webhooks, avg_success_rate from get_moonpay_webhook_stats()',
      );
    expect(await stats()).toEqual([
      { total_webhooks: 0, active_webhooks: 0, failed_webhooks: 0, avg_success_rate: null },
    ]);

    await query(`insert into moonpay_webhook_config (url, environment, events, status, delivery_attempts_count, successful_deliveries_count, deleted_at) values
      ('https://a.example.com', 'sandbox', '{*}', 'active', 4, 3, null), ('https://b.example.com', 'sandbox', '{*}', 'failed', 2, 0, null),
      ('https://c.example.com', 'sandbox', '{*}', 'active', 0, 0, null), ('https://d.example.com', 'sandbox', '{*}', 'inactive', 9, 9, now())`);
    expect(await stats()).toEqual([
      { total_webhooks: 3, active_webhooks: 2, failed_webhooks: 1, avg_success_rate: '37.50' },
    ]);
  });
});

test('two sessions that make the same partitions at the same time make them once', async () => {
  const database = await openTestDatabase('postgres');
  try {
    const make = async () => {
      const { rows } = await sql<{ made: number }>`select moonguard.ensure_policy_log_partitions(15) as made`.execute(
        database.db,
      );
      return rows[0]?.made;
    };
    const made = await Promise.all([make(), make(), make()]);

    expect(made.toSorted((a = 0, b = 0) => a - b)).toEqual([0, 0, 12]);
  } finally {
    await database.close();
  }
});
