import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attempt, type Caller, signedIn } from '../support/caller.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const oneOfEverything = readFileSync(new URL('fixtures/one-of-everything.sql', import.meta.url), 'utf8');
/** Rows of the fixture. */
const endpoint = '00000000-0000-4000-8000-00000000000a';
const event = '00000000-0000-4000-8000-00000000000e';
const alert = '00000000-0000-4000-8000-0000000000aa';

const callers: Readonly<Record<string, Caller>> = {
  admin: signedIn('admin'),
  officer: signedIn('compliance_officer'),
  analyst: signedIn('compliance_analyst'),
  auditor: signedIn('auditor'),
  developer: signedIn('developer'),
  other: signedIn(),
  anon: { role: 'anon' },
  service: { role: 'service_role' },
};

/**
 * The table of the design, and what follows from it for the tables beside those it names. The letters: r sees the row,
 * c creates one, u changes it, d removes it.
 */
const access = `
                                    | admin | officer | analyst | auditor | developer | other | anon | service
  moonpay_webhook_config            | rcu   | r       | -       | r       | rcu       | -     | -    | rcu
  moonguard.deliveries              | ru    | r       | -       | r       | ru        | -     | -    | rcu
  moonpay_webhook_deliveries        | r     | r       | -       | r       | r         | -     | -    | r
  moonpay_webhook_delivery_attempts | r     | r       | -       | r       | r         | -     | -    | r
  moonpay_webhook_status_changes    | r     | r       | -       | r       | r         | -     | -    | r
  moonpay_webhook_changes           | r     | r       | -       | r       | r         | -     | -    | r
  moonguard.endpoint_changes        | r     | r       | -       | r       | r         | -     | -    | r
  moonguard.replays                 | r     | r       | -       | r       | r         | -     | -    | r
  moonpay_webhook_replays           | r     | r       | -       | r       | r         | -     | -    | r
  moonguard.replay_lanes            | -     | -       | -       | -       | -         | -     | -    | -
  moonpay_compliance_alerts         | rcu   | rcu     | rcu     | r       | -         | -     | -    | rcu
  moonpay_alert_timeline            | rc    | rc      | rc      | r       | -         | -     | -    | rc
  moonguard.alert_timeline          | rc    | rc      | rc      | r       | -         | -     | -    | rc
  moonguard.alert_hits              | rc    | rc      | rc      | r       | -         | -     | -    | rc
  moonguard.alert_suppressions      | rcu   | rcu     | rc      | r       | -         | -     | -    | rcu
  moonguard.alert_settings          | ru    | ru      | r       | r       | -         | -     | -    | ru
  moonguard.alert_setting_changes   | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.alert_templates         | rcu   | rcu     | r       | r       | -         | -     | -    | rcu
  moonguard.alert_deadlines         | rcud  | rcud    | r       | r       | -         | -     | -    | rcud
  moonguard.holidays                | rcud  | rcud    | r       | r       | -         | -     | -    | rcud
  moonguard.alert_people            | rcu   | rcu     | r       | r       | -         | -     | -    | rcu
  moonguard.alert_queues            | rcu   | rcu     | r       | r       | -         | -     | -    | rcu
  moonguard.alert_queue_members     | rcud  | rcud    | r       | r       | -         | -     | -    | rcud
  moonguard.alert_group_joins       | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.alert_counts            | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.alert_day_counts        | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.alert_count_changes     | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.alert_search            | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.alert_link_repairs      | -     | -       | -       | -       | -         | -     | -    | -
  moonpay_policy_logs               | r     | r       | r       | r       | -         | -     | -    | rc
  moonpay_policies                  | rcu   | rcu     | r       | r       | -         | -     | -    | rcu
  moonguard.policy_settings         | ru    | ru      | r       | r       | -         | -     | -    | ru
  moonguard.policy_versions         | rcu   | rcu     | rcu     | r       | -         | -     | -    | rcu
  moonpay_policy_versions           | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.policy_lists            | rcud  | rcud    | r       | r       | -         | -     | -    | rcud
  moonpay_policy_lists              | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.policy_list_values      | rcd   | rcd     | r       | r       | -         | -     | -    | rcd
  moonguard.policy_exceptions       | rcu   | rcu     | r       | r       | -         | -     | -    | rcu
  moonpay_policy_exceptions         | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.policy_approvals        | ru    | ru      | r       | r       | -         | -     | -    | ru
  moonpay_policy_approvals          | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.backtests               | r     | r       | r       | r       | -         | -     | -    | r
  moonpay_policy_backtests          | r     | r       | r       | r       | -         | -     | -    | r
  moonguard.policy_revision         | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.event_facts             | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.event_keys              | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.event_key_fields        | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.legal_holds             | rcu   | rcu     | -       | r       | -         | -     | -    | rcu
  moonguard.retention_rules         | rcud  | rcud    | -       | r       | -         | -     | -    | rcud
  moonguard.retention_runs          | r     | r       | -       | r       | -         | -     | -    | r
  moonguard.retention_progress      | -     | -       | -       | -       | -         | -     | -    | -
  moonpay_webhook_events            | r     | r       | -       | r       | r         | -     | -    | rcu
  moonpay_transactions              | r     | r       | r       | r       | -         | -     | -    | rcu
  moonpay_customers                 | r     | r       | r       | r       | -         | -     | -    | rcu
  moonguard.endpoint_secrets        | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.endpoint_certificates   | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.provider_keys           | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.master_key              | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.installation_findings   | -     | -       | -       | -       | -         | -     | -    | -
  moonguard.schema_migrations       | -     | -       | -       | -       | -         | -     | -    | -
`;

/** Whoever is not signed in says who acts. */
const asMe = `set_config('moonguard.actor', 'mine', true)`;
const comment = `(alert_id, action, reason) select '${alert}', 'commented', ${asMe}`;

const creations: Readonly<Record<string, string>> = {
  moonpay_webhook_config: "(url, environment, events) values ('https://other.example.com', 'production', '{*}')",
  'moonguard.deliveries': `(event_id, endpoint_id, event_sequence) values ('${event}', '${endpoint}', 1) on conflict do nothing`,
  moonpay_compliance_alerts: "(alert_type, title) values ('aml_screening', 'Another')",
  moonpay_alert_timeline: comment,
  'moonguard.alert_timeline': comment,
  'moonguard.alert_hits': `(alert_id, severity, title) values ('${alert}', 'low', 'Again')`,
  'moonguard.alert_suppressions':
    "(customer_id, alert_type, reason, requested_by, expires_at) values ('customer_3', 'aml_screening', 'x', 'mine', 'infinity')",
  // There is one row.
  'moonguard.alert_settings': '(is_the_one) values (true) on conflict do nothing',
  'moonguard.alert_setting_changes': "(actor, before, after) values ('mine', '{}', '{}')",
  'moonguard.alert_templates': "(alert_type, recommended_actions) values ('mine', '{}')",
  'moonguard.alert_deadlines': "(severity, minutes) values ('low', 1) on conflict do nothing",
  'moonguard.holidays': "(day, name) values ('2026-12-26', 'mine')",
  'moonguard.alert_people': "(id) values ('mine')",
  'moonguard.alert_queues': "(name, strategy) values ('mine', 'manual')",
  'moonguard.alert_queue_members': "(queue, person) values ('documents', 'x') on conflict do nothing",
  'moonguard.alert_group_joins': `(group_id, into_group_id) values ('${alert}', '${event}')`,
  'moonguard.alert_link_repairs': `(alert_id) values ('${event}')`,
  moonpay_policy_logs: "(policy_id, action_type) values ('p', 'rule_passed')",
  moonpay_policies: "(name, type, is_active) values ('Others', 'kyc', true)",
  'moonguard.policy_settings': '(is_the_one) values (true) on conflict do nothing',
  'moonguard.policy_versions': `(policy_id, document, hash) values ('mine', '{"id": "mine"}', repeat('0', 64))`,
  'moonguard.policy_lists': "(name) values ('mine')",
  'moonguard.policy_list_values': "(list_name, value) values ('blocked', 'mine')",
  'moonguard.policy_exceptions': `(policy_id, customer_id, expires_at, reason) select 'p', 'customer_1', 'infinity', ${asMe}`,
  'moonguard.policy_approvals': `(decision_id, policy_id, policy_version, rule_id, environment, entity_type, entity_id, requested_by, expires_at)
    values ('${event}', 'p', 1, 'r', 'sandbox', 'customer', 'mine', 'mine', 'infinity')`,
  'moonguard.event_key_fields': "(field) values ('mine')",
  'moonguard.legal_holds': "(reason, customer_id) values ('another', 'customer_2')",
  'moonguard.retention_rules':
    "(retention_class, record_class, jurisdiction, days, source) values ('another', 'any', 'any', 1, 'x')",
  moonpay_webhook_events: "(event_type, event_data, signature) values ('transaction_created', '{}', 's')",
  moonpay_transactions: "(type, status) values ('sell', 'pending')",
  moonpay_customers: "(email) values ('grace@example.com')",
  'moonguard.endpoint_secrets': `(endpoint_id, unsealed, expires_at) values ('${endpoint}', 'mine', now())`,
  'moonguard.endpoint_certificates': `(endpoint_id, certificate, sealed, key_id, subject, expires_at)
    values ('${endpoint}', 'mine', 'mine', 'k', 'CN=mine', now())`,
  'moonguard.endpoint_changes': `(endpoint_id, actor, action, before, after) values ('${endpoint}', 'mine', 'changed', '{}', '{}')`,
  'moonguard.replays': "(id, statuses, created_by) values (gen_random_uuid(), '{held}', 'mine')",
  'moonguard.replay_lanes': `(replay_id, endpoint_id, total_count, after_event_id, last_event_id)
    values ('${event}', '${event}', 1, '${event}', '${event}')`,
  'moonguard.master_key': "(key_id) values ('mine')",
  'moonguard.retention_progress': `(task, reached) values ('mine', '${event}')`,
  'moonguard.provider_keys': "(environment, sealed, key_id, fingerprint) values ('sandbox', 'x', 'k', 'g')",
};

const changes: Readonly<Record<string, string>> = {
  moonpay_webhook_config: "description = 'mine'",
  'moonguard.deliveries': "status = 'pending'",
  moonpay_webhook_deliveries: "status = 'pending'",
  moonpay_webhook_delivery_attempts: 'attempt_number = 2',
  'moonguard.replays': "created_by = 'mine'",
  moonpay_webhook_replays: "created_by = 'mine'",
  'moonguard.replay_lanes': 'total_count = 2',
  moonpay_compliance_alerts: "title = 'mine'",
  moonpay_alert_timeline: "actor = 'mine'",
  'moonguard.alert_timeline': "actor = 'mine'",
  'moonguard.alert_hits': "title = 'mine'",
  'moonguard.alert_suppressions': "ended_reason = 'mine'",
  'moonguard.alert_settings': 'four_eyes = true',
  'moonguard.alert_setting_changes': "actor = 'mine'",
  'moonguard.alert_templates': "recommended_actions = '{mine}'",
  'moonguard.alert_deadlines': 'minutes = 1000',
  'moonguard.holidays': "name = 'mine'",
  'moonguard.alert_people': "name = 'mine'",
  'moonguard.alert_queues': 'priority = 1',
  'moonguard.alert_queue_members': 'last_turn = 1',
  'moonguard.alert_group_joins': "joined_by = 'mine'",
  'moonguard.alert_counts': 'alerts = 0',
  'moonguard.alert_day_counts': 'alerts = 0',
  'moonguard.alert_count_changes': 'change = 0',
  'moonguard.alert_search': 'triggered_at = now()',
  'moonguard.alert_link_repairs': "related = 'mine'",
  moonpay_policy_logs: "reason = 'mine'",
  moonpay_policies: "name = 'mine'",
  'moonguard.policy_settings': 'approval_hours = 1',
  'moonguard.policy_versions': "note = 'mine'",
  moonpay_policy_versions: "note = 'mine'",
  'moonguard.policy_lists': "description = 'mine'",
  moonpay_policy_lists: "description = 'mine'",
  'moonguard.policy_list_values': "note = 'mine'",
  'moonguard.policy_exceptions': `ended_at = case when ${asMe} = 'mine' then now() end`,
  moonpay_policy_exceptions: 'ended_at = now()',
  'moonguard.policy_approvals': `status = 'denied', reason = ${asMe}`,
  moonpay_policy_approvals: "status = 'denied'",
  'moonguard.backtests': "failure = 'mine'",
  moonpay_policy_backtests: "failure = 'mine'",
  'moonguard.policy_revision': 'revision = 1',
  'moonguard.event_facts': "customer = 'mine'",
  'moonguard.event_keys': "value = 'mine'",
  'moonguard.event_key_fields': "field = 'mine'",
  'moonguard.legal_holds': "lifted_at = now(), lifted_by = 'mine', lifted_reason = 'mine'",
  'moonguard.retention_rules': "source = 'mine'",
  'moonguard.retention_runs': "task = 'mine'",
  'moonguard.retention_progress': "task = 'mine'",
  moonpay_webhook_events: 'processed = true',
  moonpay_transactions: "status = 'completed'",
  moonpay_customers: "email = 'mine'",
  'moonguard.endpoint_secrets': "unsealed = 'mine'",
  'moonguard.endpoint_certificates': "certificate = 'mine'",
  'moonguard.endpoint_changes': "actor = 'mine'",
  moonpay_webhook_changes: "actor = 'mine'",
  moonpay_webhook_status_changes: "actor = 'mine'",
  'moonguard.master_key': "key_id = 'mine'",
  'moonguard.provider_keys': "fingerprint = 'mine'",
  'moonguard.installation_findings': "reason = 'mine'",
  'moonguard.schema_migrations': "name = 'mine'",
};

const attempts: Readonly<Record<string, (table: string) => string>> = {
  r: (table) => `select 1 from ${table}`,
  c: (table) => `insert into ${table} ${creations[table] ?? 'default values'}`,
  u: (table) => `update ${table} set ${changes[table]}`,
  d: (table) => `delete from ${table}`,
};

async function letters(database: TestDatabase, table: string, caller: Caller): Promise<string> {
  let done = '';
  for (const [letter, statement] of Object.entries(attempts)) {
    const outcome = await attempt(database, caller, statement(table));
    const succeeded = 'rows' in outcome && (outcome.rows > 0 || letter === 'c');
    if (succeeded) done += letter;
  }
  return done === '' ? '-' : done;
}

function cellsOf(markdown: string): { table: string; expected: Record<string, string> }[] {
  const [names = [], ...lines] = markdown
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return lines.map(([table = '', ...cells]) => ({
    table,
    expected: Object.fromEntries(cells.map((cell, index) => [names[index + 1] ?? '', cell])),
  }));
}

forEachDatabase('the access table', (open) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
    await database.runScript(oneOfEverything);
  });
  afterAll(() => database.close());

  test.each(cellsOf(access))('$table', async ({ table, expected }) => {
    const found: Record<string, string> = {};
    for (const [name, caller] of Object.entries(callers)) found[name] = await letters(database, table, caller);

    expect(found).toEqual(expected);
  });

  test('anon is refused everywhere, not only shown nothing', async () => {
    for (const { table } of cellsOf(access)) {
      for (const statement of Object.values(attempts)) {
        expect(await attempt(database, { role: 'anon' }, statement(table)), statement(table)).toMatchObject({
          code: '42501',
        });
      }
    }
  });

  test('the public function raises alerts for whoever may write them, and for nobody else', async () => {
    const raised = JSON.stringify({ alert_type: 'aml_screening', title: 'Found', dedupe_key: 'by function' });
    const raise = `select * from raise_moonpay_compliance_alert('${raised}')`;
    const outcomes: Record<string, string> = {};
    for (const [name, caller] of Object.entries(callers)) {
      // The second time it is a hit on the first.
      const outcome = await attempt(database, caller, raise, raise);
      outcomes[name] = 'rows' in outcome ? `${outcome.rows} alert` : `${outcome.code}`;
    }
    const refused = '42501';
    expect(outcomes).toEqual({
      admin: '1 alert',
      officer: '1 alert',
      analyst: '1 alert',
      auditor: refused,
      developer: refused,
      other: refused,
      anon: refused,
      service: '1 alert',
    });
  });
});
