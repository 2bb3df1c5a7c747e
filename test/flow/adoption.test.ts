import { readFileSync } from 'node:fs';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { installerSql } from '../../src/database/installer.ts';
import { migrate } from '../../src/database/migrate.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { type EmptyDatabase, onEveryServer, type Row } from '../support/emptyDatabase.ts';
import { compareFacts, schemaFacts } from '../support/schemaFacts.ts';

const installer = installerSql(readMigrationFiles());
const handmadeTables = fixtures('supabase-roles.sql', 'handmade-tables.sql');
const variations = fixtures('handmade-variations.sql');

function fixtures(...files: string[]): string {
  return files.map((file) => readFileSync(new URL(`fixtures/${file}`, import.meta.url), 'utf8')).join('\n');
}

const tables = ['moonpay_webhook_config', 'moonpay_compliance_alerts', 'moonpay_policy_logs'] as const;

type Contents = Map<string, Record<string, unknown>>;

/** Every row of the three tables as JSON, by the last four digits of its id. */
async function contentsOf(database: EmptyDatabase): Promise<Contents> {
  const rows = await database.run(
    tables
      .map((table) => `select right(id::text, 4) as key, to_jsonb(t) as row from public.${table} t`)
      .join(' union all '),
  );
  return new Map(rows.map(({ key, row }) => [String(key), Object.fromEntries(Object.entries(row ?? {}))]));
}

/** The columns of earlier rows that are not what they were, with what they are. */
function changes(before: Contents, after: Contents): Record<string, Row> {
  const changed = [...before].map(([key, row]) => {
    const now = after.get(key) ?? {};
    const columns = Object.keys(row).filter((column) => JSON.stringify(row[column]) !== JSON.stringify(now[column]));
    return [key, Object.fromEntries(columns.map((column) => [column, now[column]]))] as const;
  });
  return Object.fromEntries(changed.filter(([, columns]) => Object.keys(columns).length > 0));
}

async function findings(database: EmptyDatabase, pattern: string): Promise<string[]> {
  const rows = await database.run(`
    select coalesce(right(row_key, 4), table_name) || ' ' || reason as finding from moonguard.installation_findings
    where resolution like '${pattern}' order by 1`);
  return rows.map(({ finding }) => String(finding));
}

/** What the normalised settings of the fixture's default are. */
const defaultSettings = {
  headers: {},
  retry_policy: {
    max_attempts: 3,
    backoff_strategy: 'exponential',
    initial_delay_ms: 1000,
    max_delay_ms: 30_000,
    jitter: 0.2,
  },
  delivery_settings: {
    timeout_ms: 30_000,
    verify_ssl: true,
    rate_limit_per_second: null,
    ordering: 'none',
    payload: 'provider',
  },
};
const ourRetryPolicy = {
  max_attempts: 16,
  backoff_strategy: 'exponential',
  initial_delay_ms: 5000,
  max_delay_ms: 21_600_000,
  jitter: 0.2,
};
const ourDeliverySettings = { ...defaultSettings.delivery_settings, timeout_ms: 15_000 };

onEveryServer('adopting tables made by hand', (create) => {
  let before: Contents;
  let printed: Row[];
  let wanted: string[];
  let openAdopted: () => Promise<EmptyDatabase>;
  let database: EmptyDatabase;

  beforeAll(async () => {
    const empty = await create();
    await empty.run(installer);
    wanted = await schemaFacts(empty);
    const adopted = await create();
    await adopted.run(handmadeTables);
    before = await contentsOf(adopted);
    printed = await adopted.run(installer);
    openAdopted = await adopted.freeze();
  });
  beforeEach(async () => {
    database = await openAdopted();
  });

  test('keeps every row, and changes of them what is clear', async () => {
    const after = await contentsOf(database);

    expect([...after.keys()].toSorted(byText)).toEqual([...before.keys()].toSorted(byText));
    const { headers: _, ...withoutHeaders } = defaultSettings;
    expect(changes(before, after)).toEqual({
      '0a01': { ...defaultSettings, secret_key: null },
      '0a02': { ...withoutHeaders, status: 'inactive', is_active: false, secret_key: null },
      '0a03': { ...withoutHeaders, status: 'inactive' },
      '0a04': { ...withoutHeaders, status: 'inactive', is_active: false, secret_key: null },
      '0a05': { ...withoutHeaders, metadata: { value: ['a', 'b'] } },
      '0a06': {
        retry_policy: {
          ...ourRetryPolicy,
          max_attempts: 5,
          backoff_strategy: 'linear',
          initial_delay_ms: 2000,
          max_delay_ms: 60_000,
        },
        delivery_settings: { ...ourDeliverySettings, timeout_ms: 5000, verify_ssl: false },
      },
      '0a07': {
        retry_policy: { ...ourRetryPolicy, max_attempts: 7 },
        delivery_settings: { ...ourDeliverySettings, ordering: 'entity' },
      },
      '0a08': {
        events: ['TRANSACTION_COMPLETED', 'transaction.completed'],
        headers: {},
        retry_policy: ourRetryPolicy,
        delivery_settings: ourDeliverySettings,
        metadata: {},
        delivery_attempts_count: 0,
        created_at: expect.any(String),
        updated_at: expect.any(String),
      },
      '0a09': { is_active: false, retry_policy: ourRetryPolicy, delivery_settings: ourDeliverySettings },
      '0a10': { ...withoutHeaders, status: 'inactive', is_active: false },
      '0a11': { ...withoutHeaders, status: 'inactive', is_active: false },
      '0b01': { risk_level: 'extreme', recommended_actions: [], related_alerts: [] },
      '0b02': { recommended_actions: [], related_alerts: [] },
      '0b03': { metadata: { value: ['x'] }, recommended_actions: [], related_alerts: [] },
      '0b04': { metadata: { archived: true }, recommended_actions: [], related_alerts: [] },
      '0b05': { recommended_actions: [], related_alerts: [] },
      '0b06': {
        title: 'Alert',
        metadata: {},
        recommended_actions: [],
        related_alerts: [],
        created_at: expect.any(String),
        triggered_at: expect.any(String),
        updated_at: expect.any(String),
      },
      '0b07': { risk_level: 'medium', recommended_actions: [], related_alerts: [] },
      '0d01': { retention_period_days: 2555 },
      '0d02': { executed_at: '2024-06-01T00:00:00+00:00', executed_by: 'system' },
      '0d04': { metadata: {} },
      '0d06': { retention_period_days: 2555 },
      ...Object.fromEntries(
        [...before]
          .filter(([, row]) => String(row['log_id']).match(/^log-\d+$/))
          .map(([key]) => [key, { executed_by: 'system' }]),
      ),
    });
  });

  test('reports the rest by table and reason, and prints it', async () => {
    const open = await findings(database, 'action needed:%');
    const left = await findings(database, 'left:%');

    expect(open).toEqual([
      '0a02 events is empty',
      '0a04 url of a production endpoint is not https',
      '0a08 events names TRANSACTION_COMPLETED, which no event is called',
      '0a09 environment is neither sandbox nor production; headers are not valid',
      '0a10 url of a production endpoint is a private address',
      '0a11 url has credentials in it',
    ]);
    expect(left).toEqual([
      '0b02 resolved without a person and notes',
      '0b05 metadata.archived is no boolean: {"by": "sam"}',
      '0b06 breaks the rule moonpay_compliance_alerts_alert_type_check',
      '0b06 breaks the rule moonpay_compliance_alerts_risk_level_check',
      '0b06 breaks the rule moonpay_compliance_alerts_risk_score_check',
      '0b07 breaks the rule moonpay_compliance_alerts_status_check',
      '0d03 breaks the rule moonpay_policy_logs_metadata_check',
      '0d03 log_id log-twice is in 2 rows',
      '0d04 breaks the rule moonpay_policy_logs_policy_type_check',
      '0d04 log_id log-twice is in 2 rows',
      '0d06 breaks the rule moonpay_policy_logs_policy_type_check',
    ]);
    const count = printed.reduce((sum, { rows }) => sum + Number(rows), 0);
    expect(count).toBe(open.length + left.length);
    expect(await findings(database, 'corrected:%')).toEqual(
      expect.arrayContaining([
        '0a01 secret_key held a secret in plain text',
        '0a01 the header Content-Type is set by the sender',
        '0a02 secret_key held a secret in plain text',
        '0a03 status is active and is_active is false',
        '0a05 metadata is no object',
        '0a07 retry_policy is not valid: {"max_attempts": 7, "initial_delay": -5}',
        '0b03 metadata is no object',
        '0b04 metadata.archived is no boolean: "true"',
        '0b06 title is empty',
        '0d01 retention_period_days is null',
        '0d02 executed_at is null',
        'moonpay_webhook_config policy Enable all for authenticated',
        'moonpay_compliance_alerts policy Allow all',
        'moonpay_policy_logs policy Enable read access for all users',
      ]),
    );
  });

  test('moves secrets out of reach', async () => {
    expect(await database.run('select endpoint_id, unsealed from moonguard.endpoint_secrets order by 1')).toEqual([
      { endpoint_id: '00000000-0000-4000-8000-000000000a01', unsealed: 'whsec_plain_text' },
      { endpoint_id: '00000000-0000-4000-8000-000000000a02', unsealed: 'another secret' },
    ]);
  });

  test('ends in the same schema as an empty database does', async () => {
    const { missing, further } = compareFacts(await schemaFacts(database), wanted);

    // A rule that some row breaks was not validated; everything else is the same.
    const broken = further.filter((fact) => fact.startsWith('constraint ') && fact.endsWith(' NOT VALID'));
    expect(missing).toEqual(broken.map((fact) => fact.replace(/ NOT VALID$/, '')));
    expect(further.filter((fact) => !broken.includes(fact))).toEqual([
      'index CREATE INDEX ON public.moonpay_compliance_alerts USING btree (customer_id) ',
      'index CREATE INDEX ON public.moonpay_compliance_alerts USING gin (metadata) ',
      'index CREATE INDEX ON public.moonpay_webhook_config USING btree (status) ',
      'index CREATE INDEX ON public.moonpay_webhook_config USING gin (metadata) ',
    ]);
    expect(await migrate(await database.openProgram())).toMatchObject({ applied: [] });
  });

  test('changes nothing when it is run again', async () => {
    const adopted = await contentsOf(database);

    expect(await database.run(installer)).toEqual(printed);

    expect(changes(adopted, await contentsOf(database))).toEqual({});
  });

  test('puts views on the log back, on the new table', async () => {
    await database.run(
      "insert into moonpay_policy_logs (log_id, policy_id, action_type) values ('new', 'p', 'violation_detected')",
    );

    expect(await database.run('select log_id from recent_policy_violations order by 1')).toEqual([
      { log_id: 'log-twice' },
      { log_id: 'new' },
    ]);
  });

  test('lets the counters of every endpoint move that delivers, and of every one that is corrected', async () => {
    const count = `update moonpay_webhook_config set delivery_attempts_count = delivery_attempts_count + 1,
      failed_deliveries_count = failed_deliveries_count + 1, last_delivery_attempt = now()`;

    expect(await database.run(`${count} where is_active returning webhook_id`)).toHaveLength(5);
    await expect(database.run(`${count} where webhook_id = 'wh_http'`)).rejects.toThrow(
      'moonpay_webhook_config_url_https_check',
    );
    expect(
      await database.run(`update moonpay_webhook_config set url = 'https://shop.example.com/now', status = 'active'
        where webhook_id = 'wh_http'; ${count} where webhook_id = 'wh_http' returning is_active, delivery_attempts_count as n`),
    ).toEqual([{ is_active: true, n: 1 }]);
  });

  test('archives, counts and cleans up', async () => {
    // Both that were dismissed are from 2022; one of them was archived before.
    expect(await database.run('select archive_old_moonpay_compliance_alerts() as n')).toEqual([{ n: 2 }]);
    expect(
      await database.run('select alert_id from moonpay_compliance_alerts where archived_at is not null order by 1'),
    ).toEqual([
      { alert_id: 'alert_archived_odd' },
      { alert_id: 'alert_archived_text' },
      { alert_id: 'alert_unsigned' },
    ]);
    expect(await database.run('select cleanup_old_moonpay_policy_logs() as n')).toEqual([{ n: 1 }]);
    expect(await database.run("select log_id from moonpay_policy_logs where log_id = 'log-very-old'")).toEqual([]);
    expect(
      await database.run('select total_webhooks as n, active_webhooks as active from get_moonpay_webhook_stats()'),
    ).toEqual([{ n: 11, active: 5 }]);
  });

  test('moves adopted alerts through the workflow, and lets what broke a rule be corrected', async () => {
    const move = (alert: string, set: string) =>
      database.run(`update moonpay_compliance_alerts set ${set} where alert_id = '${alert}' returning status`);

    expect(await move('alert_open', "status = 'in_review', reviewed_by = 'sam'")).toEqual([{ status: 'in_review' }]);
    expect(await move('alert_array', "status = 'escalated'")).toEqual([{ status: 'escalated' }]);
    expect(await move('alert_unsigned', "status = 'open', status_reason = 'who decided this?'")).toEqual([
      { status: 'open' },
    ]);
    expect(await move('alert_unsigned', "status = 'resolved', resolved_by = 'sam', resolution_notes = 'n'")).toEqual([
      { status: 'resolved' },
    ]);
    await expect(move('alert_other_status', "assigned_to = 'sam'")).rejects.toThrow(
      'moonpay_compliance_alerts_status_check',
    );
    expect(await move('alert_other_status', "status = 'in_review'")).toEqual([{ status: 'in_review' }]);
    await expect(move('alert_untyped', "status = 'in_review'")).rejects.toThrow(
      'moonpay_compliance_alerts_alert_type_check',
    );
    expect(
      await move(
        'alert_untyped',
        "alert_type = 'risk_threshold', risk_score = 100, risk_level = 'extreme', status = 'in_review'",
      ),
    ).toEqual([{ status: 'in_review' }]);
  });

  test('keeps the log append-only from now on', async () => {
    for (const change of [
      "update moonpay_policy_logs set reason = 'x'",
      'delete from moonpay_policy_logs',
      'truncate moonpay_policy_logs',
    ]) {
      await expect(database.run(change)).rejects.toThrow('append-only');
    }
  });
});

onEveryServer('adopting tables of other types, with things that hang on them', (create) => {
  let wanted: string[];
  let openAdopted: () => Promise<EmptyDatabase>;
  let database: EmptyDatabase;

  beforeAll(async () => {
    const empty = await create();
    await empty.run(installer);
    wanted = await schemaFacts(empty);
    const adopted = await create();
    await adopted.run(variations);
    await adopted.run(installer);
    openAdopted = await adopted.freeze();
  });
  beforeEach(async () => {
    database = await openAdopted();
  });

  test('ends in the same schema as an empty database does', async () => {
    const { missing } = compareFacts(await schemaFacts(database), wanted);

    const leftForTheUser = [
      // Its name is taken by a table of the user's.
      /^(v|column|view|comment on|grant on) public\.moonpay_webhook_deliveries\b/,
      // The primary key is the earlier id; ours is unique beside it.
      /^(constraint|index) .*public\.moonpay_webhook_config.*\(id\)/,
      // Broken by a row, so not validated.
      /^constraint .*_(environment|events|url|policy_type|severity)_check /,
    ];
    expect(missing.filter((fact) => !leftForTheUser.some((pattern) => pattern.test(fact)))).toEqual([]);
  });

  test('gives every value its type, and says what could not be kept as it was', async () => {
    expect(
      await database.run(`select id_before_moonguard as id, trim(url) as url, environment, events, status, is_active, headers, metadata,
          retry_policy -> 'max_attempts' as attempts, delivery_attempts_count as tried, successful_deliveries_count as succeeded,
          deleted_at is not null as deleted, success_rate::float, priority
        from moonpay_webhook_config order by 1`),
    ).toMatchObject([
      {
        url: 'https://shop.example.com/one',
        environment: 'sandbox',
        events: ['transaction.completed'],
        status: 'inactive',
        headers: { 'X-Team': 'risk' },
        metadata: { value: 'not JSON' },
        attempts: 3,
        tried: 4,
        succeeded: 3,
        deleted: true,
        success_rate: 75,
        priority: 3,
      },
      { status: 'inactive', headers: {}, metadata: {}, attempts: 16, deleted: true },
      { status: 'active', is_active: true, events: ['transaction.*'], headers: {}, metadata: { a: 1 }, deleted: false },
      { url: 'ftp://shop.example.com', environment: 'live', events: [], status: 'inactive', deleted: false },
    ]);
    expect(
      await database.run(`select alert_id, alert_type, severity, status, customer_id, risk_score, risk_level, title, details,
          recommended_actions, related_alerts, assigned_to, version from moonpay_compliance_alerts order by id`),
    ).toEqual([
      {
        alert_id: 'twice',
        alert_type: 'aml_screening',
        severity: 'critical',
        status: 'open',
        customer_id: '00000000-0000-4000-8000-00000000c001',
        risk_score: 86,
        risk_level: 'extreme',
        title: 'A hit',
        details: { list: 'OFAC' },
        recommended_actions: ['call', 'freeze'],
        related_alerts: ['00000000-0000-4000-8000-000000000b02'],
        assigned_to: '00000000-0000-4000-8000-00000000aaaa',
        version: 1,
      },
      {
        alert_id: 'twice_00000000000040008000000000000b02',
        alert_type: 'sanctions_check',
        severity: 'low',
        status: 'open',
        customer_id: null,
        risk_score: null,
        risk_level: null,
        title: 'Sanctions_Check',
        details: 'only words',
        recommended_actions: ['one'],
        related_alerts: [],
        assigned_to: null,
        version: 1,
      },
    ]);
    expect(
      await database.run(`select number, policy_id, action_type, retention_period_days as days, host(ip_address) as ip, rule_results as result,
          amount, to_char(executed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as executed from moonpay_policy_logs order by number`),
    ).toMatchObject([
      {
        number: 1,
        policy_id: 'p',
        action_type: 'rule_passed',
        days: 30,
        ip: '203.0.113.9',
        result: { ok: true },
        amount: '12.5',
        executed: '2025-01-31 23:30',
      },
      { number: 2, policy_id: 'unknown', action_type: 'rule_triggered', days: 365_000, ip: null, result: 'passed' },
      { number: 3, policy_id: 'p', action_type: 'rule_failed', days: 2555, ip: null, executed: '2025-03-01 00:00' },
    ]);
    const corrected = (await findings(database, 'corrected:%')).map((finding) => finding.slice(5));
    expect(corrected.filter((finding) => / was (85\.50|unknown|one|9+)$/.test(finding)).toSorted(byText)).toEqual([
      'ip_address was unknown',
      'retention_period_days was 99999999999',
      'risk_score was 85.50',
      'version was one',
      'version was one',
    ]);
  });

  test('puts back views, triggers, functions, computed columns and their grants', async () => {
    await database.run(`
      update moonpay_webhook_config set url = 'https://shop.example.com/moved' where status = 'active';
      insert into moonpay_policy_logs (policy_id, action_type, entity_id) values ('p', 'rule_passed', 'e1')`);

    expect(await database.run('select url from endpoint_history')).toEqual([{ url: 'https://shop.example.com/moved' }]);
    expect(await database.run("select count(*) as n, max(number) > 3 as numbered from logs_of('e1')")).toEqual([
      { n: 3, numbered: true },
    ]);
    expect(await database.run('select n from open_alert_count')).toEqual([{ n: 2 }]);
    await database.run('refresh materialized view concurrently alerts_by_severity');
    expect(await database.run('select severity from alerts_by_severity order by 1')).toEqual([
      { severity: 'critical' },
      { severity: 'low' },
    ]);
    expect(await database.run('select count(*) as n from endpoints_of_teams where success_rate = 75')).toEqual([
      { n: 1 },
    ]);
    expect(await database.run('select n from webhook_statistics')).toEqual([{ n: 1 }]);
    expect(
      await database.run(`select reloptions, obj_description(oid) as comment,
        has_table_privilege('report_reader', oid, 'select') as reader, has_table_privilege('anon', oid, 'select') as anon
        from pg_class where relname = 'open_alerts'`),
    ).toEqual([
      { reloptions: ['security_barrier=true'], comment: 'For the morning round.', reader: true, anon: false },
    ]);
    expect(await database.run("select tgenabled from pg_trigger where tgname = 'touch'")).toEqual([{ tgenabled: 'D' }]);
    expect(await database.run("select tablename from pg_publication_tables where pubname = 'moonpay_changes'")).toEqual(
      [{ tablename: 'moonpay_compliance_alerts' }],
    );
  });

  test('keeps keys that point at rows', async () => {
    await database.run(
      "delete from moonguard.alert_timeline where false; insert into endpoint_notes values (2, 'the second')",
    );
    await expect(database.run("insert into endpoint_notes values (99, 'nobody')")).rejects.toThrow(
      'endpoint_notes_endpoint_fkey',
    );
    expect(
      await database.run(
        'select file from alert_files join moonpay_compliance_alerts a on a.id = alert_files.alert_id',
      ),
    ).toEqual([{ file: 'passport.pdf' }]);
  });

  test('lets the program write, which fills no column of the user', async () => {
    expect(
      await database.run(`insert into moonpay_webhook_config (url, environment, events) values ('https://shop.example.com/new', 'production', '{*}')
        returning webhook_id ~ '^wh_' as named, priority, is_active`),
    ).toEqual([{ named: true, priority: 3, is_active: true }]);
    expect(
      await database.run(`insert into moonpay_compliance_alerts (alert_type, severity, title, customer_id)
        values ('aml_screening', 'high', 'New', 'customer_123') returning status`),
    ).toEqual([{ status: 'open' }]);
  });
});

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
