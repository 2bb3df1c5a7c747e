import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let made = 0;

forEachDatabase('the history of an endpoint', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let id: string;

  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    made += 1;
    const url = `https://example.com/history/${made}`;
    const headers = { authorization: 'Bearer hunter2', 'x-team': 'payments' };
    ({ id } = await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox', headers }, { actor: 'anna' }));
  });

  const run = (statement: string) => sql.raw<Record<string, unknown>>(statement).execute(database.db);
  const change = (assignment: string) => run(`update moonpay_webhook_config set ${assignment} where id = '${id}'`);
  /** Without what its creation left. */
  const history = async () =>
    (await webhooks.listChanges(id)).items
      .slice(0, -2)
      .map(({ actor, action, before, after }) => [actor, action, before, after]);

  test('begins with its settings and its secret, and holds neither the secret nor what headers say', async () => {
    const { items } = await webhooks.listChanges(id);

    expect(items.map(({ action, actor }) => [action, actor])).toEqual([
      ['secret', 'anna'],
      ['created', 'anna'],
    ]);
    expect(items[1]).toMatchObject({
      before: {},
      after: { status: 'active', events: ['*'], headers: { authorization: 'set', 'x-team': 'set' } },
    });
    expect(JSON.stringify(items)).not.toMatch(/hunter2|whsec_|payments/);
  });

  test('has what changed, before and after, by whomever and by whatever means', async () => {
    await webhooks.updateWebhook(id, { description: 'payments' }, { actor: 'ben' });
    await webhooks.suspendWebhook(id, 'maintenance', { actor: 'ben' });
    await change(`headers = '{"authorization": "Bearer hunter3", "x-team": "payments", "x-new": "1"}'`);
    await change('is_active = true, description = null');

    expect(await history()).toEqual([
      [
        'postgres',
        'changed',
        { status: 'inactive', status_reason: 'maintenance', description: 'payments' },
        { status: 'active' },
      ],
      [
        'postgres',
        'changed',
        { headers: { authorization: 'set', 'x-team': 'set' } },
        { headers: { authorization: 'changed', 'x-team': 'set', 'x-new': 'set' } },
      ],
      ['ben', 'changed', { status: 'active' }, { status: 'inactive', status_reason: 'maintenance' }],
      ['ben', 'changed', {}, { description: 'payments' }],
    ]);
  });

  test('says that a secret was replaced', async () => {
    await webhooks.rotateSecret(id, {}, { actor: 'ben' });
    await run(`update moonpay_webhook_config set secret_key = 'whsec_c2VjcmV0' where id = '${id}'`);

    expect(await history()).toEqual([
      ['postgres', 'secret', {}, { secret_id: expect.any(String) }],
      ['ben', 'secret', {}, { secret_id: expect.any(String) }],
    ]);
  });

  test('has every status, with the reason and who it was, in a view', async () => {
    await webhooks.suspendWebhook(id, 'maintenance', { actor: 'ben' });
    await webhooks.resumeWebhook(id, { actor: 'carla' });
    await change("status = 'suspended', status_reason = '20 failures'");
    await change("status = 'failed', status_reason = 'failing for 120 h'");
    await webhooks.deleteWebhook(id, { actor: 'ben' });

    const { rows } = await run(`select from_status as "from", to_status as "to", reason, actor
      from moonpay_webhook_status_changes where endpoint_id = '${id}' order by id`);
    expect(rows.map(({ from, to, reason, actor }) => [from, to, reason, actor])).toEqual([
      [null, 'active', null, 'anna'],
      ['active', 'inactive', 'maintenance', 'ben'],
      ['inactive', 'active', null, 'carla'],
      ['active', 'suspended', '20 failures', 'postgres'],
      ['suspended', 'failed', 'failing for 120 h', 'postgres'],
      ['failed', 'inactive', 'deleted', 'ben'],
    ]);
  });

  test('does not grow when only counters move, or nothing changes', async () => {
    await webhooks.trackDeliveryAttempt(id, false, 'refused');
    await webhooks.resumeWebhook(id);
    await change('status = status, url = url');

    expect(await history()).toEqual([]);
  });

  test('comes in pages', async () => {
    await webhooks.suspendWebhook(id, 'one');
    const first = await webhooks.listChanges(id, { limit: 2 });
    const second = await webhooks.listChanges(id, { limit: 2, cursor: first.nextCursor });

    expect([...first.items, ...second.items].map(({ action }) => action)).toEqual(['changed', 'secret', 'created']);
    expect(second.nextCursor).toBeUndefined();
    expect(await refusal(webhooks.listChanges(id, { cursor: 'x' }))).toMatchObject({ code: 'request_invalid' });
  });

  test.each([
    "update moonguard.endpoint_changes set actor = 'another'",
    'delete from moonguard.endpoint_changes',
    'truncate moonguard.endpoint_changes',
  ])('is not changed by %s', async (statement) => {
    await expect(run(statement)).rejects.toThrow('append-only');
  });

  test('outlives the row of its endpoint', async () => {
    await run(`delete from moonpay_webhook_config where id = '${id}'`);

    const { rows } = await run(
      `select action from moonpay_webhook_changes where endpoint_id = '${id}' order by entry_number`,
    );
    expect(rows).toEqual([{ action: 'created' }, { action: 'secret' }, { action: 'removed' }]);
  });
});
