import { beforeAll, beforeEach, expect, test } from 'vitest';
import { installerSql } from '../../src/database/installer.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { byText, findings, fixtures } from '../support/adoption.ts';
import { type EmptyDatabase, onEveryServer } from '../support/emptyDatabase.ts';
import { compareFacts, schemaFacts } from '../support/schemaFacts.ts';

const installer = installerSql(readMigrationFiles());
const variations = fixtures('handmade-variations.sql');

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

  test('reports an alert that holds too much, and takes no change to it that does not put it right', async () => {
    const adopted = await create();
    await adopted.run(variations);
    const [row] = await adopted.run(`insert into moonpay_compliance_alerts (alert_id, alert_type, title, transaction_id)
      values ('too long', 'aml_screening', 'Too long', repeat('t', 501)) returning right(id::text, 4) as key`);
    await adopted.run(installer);

    expect(await findings(adopted, 'left: the row%')).toContain(
      `${String(row?.['key'])} breaks the rule moonpay_compliance_alerts_transaction_id_check`,
    );
    const change = (set: string) =>
      adopted.run(
        `update moonpay_compliance_alerts set ${set} where alert_id = 'too long' returning length(transaction_id) as length`,
      );
    await expect(change(`title = 'Another'`)).rejects.toMatchObject({
      constraint: 'moonpay_compliance_alerts_transaction_id_check',
    });
    expect(await change(`transaction_id = 'tx_1'`)).toEqual([{ length: 4 }]);
  });
});
