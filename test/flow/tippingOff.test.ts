import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { runAlertSchedule } from '../../src/compliance/store/runAlertSchedule.ts';
import type { Db } from '../../src/database/database.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { createLogger, logObservations } from '../../src/observe/log.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { asUser } from '../support/asUser.ts';
import { attempt, type Caller, signedIn } from '../support/caller.ts';
import { httpServer } from '../support/localServers.ts';
import { refusal } from '../support/refusal.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { openWebhooks } from '../support/webhooks.ts';

const oneOfEverything = readFileSync(new URL('fixtures/one-of-everything.sql', import.meta.url), 'utf8');
/** An endpoint that gets events of alerts, and what is there once it has been sent one in vain. */
const confidential = `
  insert into moonpay_webhook_config (id, webhook_id, url, environment, events) values
    ('00000000-0000-4000-8000-00000000000c', 'wh_alerts', 'https://alerts.example.com/', 'production', '{transaction.created,compliance.alert_created}');
  insert into moonpay_webhook_events (id, event_type, event_name, event_data, signature) values
    ('00000000-0000-4000-8000-0000000000e1', 'compliance.alert_created', 'compliance.alert_created', '{}', ''),
    ('00000000-0000-4000-8000-0000000000e2', 'webhook.delivery_exhausted', 'webhook.delivery_exhausted', '{"data": {"webhookId": "wh_alerts"}}', '');
  insert into moonguard.deliveries (event_id, endpoint_id, event_sequence) values
    ('00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-00000000000c', 1);
  insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome)
    select id, endpoint_id, 1, now(), 1, 'exhausted' from moonguard.deliveries where endpoint_id = '00000000-0000-4000-8000-00000000000c';
  insert into moonguard.replays (id, endpoint_id, event_patterns, statuses, created_by) values
    (gen_random_uuid(), '00000000-0000-4000-8000-00000000000c', null, '{held}', 'x'),
    (gen_random_uuid(), null, '{compliance.alert_created}', '{held}', 'x');`;

const developer = signedIn('developer');

forEachDatabase('a developer', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
    await database.runScript(oneOfEverything);
    await database.runScript(confidential);
  });
  afterAll(() => database.close());

  const as = (caller: Caller, ...statements: string[]) => attempt(database, caller, ...statements);

  describe('sees nothing of an endpoint that names compliance events', () => {
    test.each([
      ['moonpay_webhook_config', 2],
      ["moonguard.endpoint_changes where action = 'created'", 2],
      ["moonpay_webhook_changes where action = 'created'", 2],
      ['moonpay_webhook_status_changes', 2],
      ['moonguard.deliveries', 2],
      ['moonpay_webhook_deliveries', 2],
      ['moonguard.delivery_attempts', 2],
      ['moonpay_webhook_delivery_attempts', 2],
      ['moonguard.replays', 3],
      ['moonpay_webhook_replays', 3],
      ['moonpay_webhook_events', 3],
    ])('%s', async (table, rows) => {
      expect(await as(signedIn('admin'), `select 1 from ${table}`)).toEqual({ rows });
      expect(await as(developer, `select 1 from ${table}`)).toEqual({ rows: 1 });
    });
  });

  test('nor does it come into sight when somebody changes its events', async () => {
    const events = (names: string) =>
      `update moonpay_webhook_config set events = '${names}' where webhook_id = 'wh_alerts'`;
    expect(await as(signedIn('admin'), events('{*}'))).toEqual({
      code: '23514',
      constraint: 'moonpay_webhook_config_confidential_check',
    });
    expect(await as(signedIn('admin'), events('{policy.published}'))).toEqual({ rows: 1 });
    const { webhooks } = openWebhooks(database);
    expect(await refusal(webhooks.updateWebhook('wh_alerts', { events: ['*'] }))).toMatchObject({
      code: 'webhook_invalid',
      problems: [{ code: 'events_confidential', field: 'events' }],
    });
  });

  test('changes none, and makes none', async () => {
    for (const change of [
      "update moonpay_webhook_config set description = 'mine'",
      "update moonguard.deliveries set status = 'held'",
    ]) {
      expect(await as(developer, change), change).toEqual({ rows: 1 });
    }
    for (const disclose of [
      "update moonpay_webhook_config set events = '{*,compliance.alert_created}'",
      "update moonpay_webhook_config set events = '{policy.published}'",
      "insert into moonpay_webhook_config (url, environment, events) values ('https://mine.example.com', 'production', '{compliance.alert_created}')",
    ]) {
      expect(await as(developer, disclose), disclose).toMatchObject({ code: '42501' });
    }
  });
});

/** Words of an alert that stand nowhere else. */
const TELLING = /alert_[0-9a-f]{32}|compliance\.|Tortoise|customer_77/;
const steps = [
  'created',
  'assigned',
  'in_review',
  'due_soon',
  'overdue',
  'escalated',
  'resolved',
  'reopened',
  'dismissed',
];
const findings = {
  alertType: 'sanctions_check',
  severity: 'high',
  customerId: 'customer_77',
  title: 'Tortoise',
} as const;

/** Everything that can happen to an alert. */
async function liveThrough({ compliance, database }: Pick<Moonguard, 'compliance' | 'database'>): Promise<Alert> {
  const by = { actor: 'anna' };
  const { id, dueAt } = await compliance.createAlert({ ...findings, metadata: { environment: 'sandbox' } }, by);
  if (dueAt === null) throw new Error('The alert has no deadline.');
  await compliance.assign(id, 'otto', by);
  await compliance.startReview(id, by);
  await compliance.comment(id, 'Tortoise of the list', by);
  await runSchedule(database.db, new Date(dueAt.getTime() - 1_000));
  await runSchedule(database.db, new Date(dueAt.getTime() + 1_000));
  await compliance.escalate(id, { to: 'head', reason: 'Tortoise' }, by);
  await compliance.resolve(id, 'Tortoise', by);
  await compliance.reopen(id, 'Tortoise', by);
  return compliance.dismiss(id, 'Tortoise', by);
}

/** The program's own schedule may be at it at this moment. */
async function runSchedule(db: Db, now: Date): Promise<void> {
  while (!(await runAlertSchedule(db, { now })).isLeader);
}

forEachDatabase('the life of an alert', (open) => {
  test('is told to whom named its events, and to nobody else', async () => {
    const database = await open();
    const signals = observed();
    const log: string[] = [];
    const logged = logObservations(createLogger('info', { write: (line) => void log.push(line) }));
    const metrics = createMetrics();
    const moonguard = await createMoonguard({
      database,
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      allowLoopbackDestinations: true,
      observe: (observation) => [signals, { observe: logged }, metrics].forEach(({ observe }) => observe(observation)),
    });
    onTestFinished(async () => {
      await moonguard.stop();
      await database.close();
    });
    /** An endpoint, and the bodies it has got. */
    const receive = async (events: readonly string[], status = 200) => {
      const bodies: string[] = [];
      const { url } = await httpServer(async (request, response) => {
        bodies.push(await text(request));
        response.writeHead(status).end();
      });
      const settings = { environment: 'sandbox', retryPolicy: { maxAttempts: 1 } } as const;
      return { ...(await moonguard.webhooks.createWebhook({ url, events, ...settings })), bodies };
    };
    const names = steps.map((step) => `compliance.alert_${step}`);
    const officers = await receive([...names, 'webhook.delivery_exhausted']);
    const failing = await receive(['compliance.alert_created'], 500);
    const others = [await receive(['*']), await receive(['transaction.*', 'customer.*']), await receive(['webhook.*'])];
    await moonguard.start();

    await liveThrough(moonguard);

    const told = [...names, 'webhook.delivery_exhausted'];
    for (const _ of told) {
      await signals.next((seen) => seen.type === 'delivery.delivered' && seen.endpointId === officers.id);
    }
    expect(officers.bodies.map((body): string => JSON.parse(body).type).toSorted()).toEqual(told.toSorted());
    expect(failing.bodies).toHaveLength(1);
    for (const { id, events } of others) {
      expect((await moonguard.webhooks.listDeliveries({ webhookId: id })).items, events.join()).toEqual([]);
    }
    expect(log.filter((line) => TELLING.test(line))).toEqual([]);
    expect(log.join('')).toContain('delivery.exhausted');
    expect(await metrics.read()).not.toMatch(TELLING);
    expect(await readableFor('developer', database)).toEqual([]);
    expect(await readableFor('auditor', database)).not.toEqual([]);
  });

  /** Relations in which a signed-in user of this role finds one of the telling words. */
  async function readableFor(role: 'developer' | 'auditor', database: TestDatabase): Promise<string[]> {
    const { rows } = await sql<{ name: string }>`
      select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('public', 'moonguard', 'moonguard_partitions') and c.relkind in ('r', 'p', 'v', 'm')
        and has_schema_privilege('authenticated', n.oid, 'usage') and has_table_privilege('authenticated', c.oid, 'select')
    `.execute(database.db);
    expect(rows.length).toBeGreaterThan(20);
    const found: string[] = [];
    for (const { name } of rows) {
      const outcome = await attempt(
        database,
        signedIn(role),
        `select 1 from ${name} t where to_jsonb(t)::text ~ '${TELLING.source}'`,
      );
      if ('code' in outcome) throw new Error(`${name}: ${outcome.code}`);
      if (outcome.rows > 0) found.push(name);
    }
    return found;
  }

  test('changes nothing in what a developer is answered', async () => {
    const [withAlert, without] = [await open(), await open()];
    onTestFinished(async () => {
      await withAlert.close();
      await without.close();
    });
    const compliance = new ComplianceService({ database: withAlert });
    const alert = await compliance.createAlert({ ...findings, dedupeKey: 'customer_77:list' }, { actor: 'anna' });

    const answers = await answersFor(withAlert, alert);

    expect(answers).toEqual(await answersFor(without, alert));
    for (const [asked, answer] of Object.entries(answers)) expect(answer, asked).not.toMatch(TELLING);
    expect(answers).toMatchObject({ 'show the alert': expect.stringContaining('There is no alert with this id.') });
  });

  /** What a developer who guesses the id of an alert is answered, by service and by SQL. */
  async function answersFor(database: TestDatabase, { id }: Alert): Promise<Record<string, string>> {
    const compliance = new ComplianceService({ database });
    const same = { ...findings, dedupeKey: 'customer_77:list' };
    const row = `'{"alert_type": "sanctions_check", "severity": "high", "title": "x", "customer_id": "customer_77", "dedupe_key": "customer_77:list"}'`;
    const statement = (words: string) => async (transaction: Db) => (await sql.raw(words).execute(transaction)).rows;
    const calls: Readonly<Record<string, (transaction: Db) => Promise<unknown>>> = {
      'show the alert': (transaction) => compliance.getAlert(id, { transaction }),
      'its history': (transaction) => compliance.getTimeline(id, { transaction }),
      list: (transaction) => compliance.listAlerts({ customerId: 'customer_77' }, { transaction }),
      search: (transaction) => compliance.searchAlerts('Tortoise', {}, { transaction }),
      count: (transaction) => compliance.countAlerts({}, { transaction }),
      counts: (transaction) => compliance.getCounts({ transaction }),
      metrics: (transaction) => compliance.getMetrics({ since: new Date(0), until: new Date(1) }, { transaction }),
      assign: (transaction) => compliance.assign(id, 'mine', { transaction }),
      resolve: (transaction) => compliance.resolve(id, 'mine', { transaction }),
      comment: (transaction) => compliance.comment(id, 'mine', { actor: 'me', transaction }),
      raise: (transaction) => compliance.createAlert(same, { transaction }),
      'raise in SQL': statement(`select * from moonguard.raise_alert(${row})`),
      'raise by supabase-js': statement(`select * from raise_moonpay_compliance_alert(${row})`),
      insert: statement(
        "insert into moonpay_compliance_alerts (alert_type, severity, title, dedupe_key) values ('sanctions_check', 'high', 'x', 'customer_77:list')",
      ),
      'insert a hit': statement(
        `insert into moonguard.alert_hits (alert_id, raised_by, severity, title) values ('${id}', 'me', 'high', 'x')`,
      ),
      'insert a comment': statement(
        `insert into moonguard.alert_timeline (alert_id, action, reason) values ('${id}', 'commented', 'mine')`,
      ),
      update: statement(`update moonpay_compliance_alerts set title = 'mine' where id = '${id}'`),
      'search in SQL': statement(`select * from moonguard.search_alerts('Tortoise', '[]', null, null, 10)`),
    };
    const answers: Record<string, string> = {};
    for (const [asked, call] of Object.entries(calls)) {
      answers[asked] = await asUser(database, { sub: 'me', role: 'developer' }, call).then(JSON.stringify, String);
    }
    return answers;
  }
});
