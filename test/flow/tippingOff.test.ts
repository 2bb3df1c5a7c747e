import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attempt, type Caller, signedIn } from '../support/caller.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

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
      ['moonguard.endpoint_status_changes', 2],
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
