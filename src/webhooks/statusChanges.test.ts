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
  let endpoint: { id: string; webhookId: string };

  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    made += 1;
    const input = { url: `https://example.com/history/${made}`, events: ['*'], environment: 'sandbox' } as const;
    endpoint = await webhooks.createWebhook(input, { actor: 'anna' });
  });

  const run = (statement: string) => sql.raw(statement).execute(database.db);
  const setStatus = (assignment: string) =>
    run(`update moonpay_webhook_config set ${assignment} where id = '${endpoint.id}'`);
  const history = async () =>
    (await webhooks.listStatusChanges(endpoint.webhookId)).items.map(({ from, to, reason, actor }) => [
      from,
      to,
      reason,
      actor,
    ]);

  test('begins with its creation', async () => {
    const { items } = await webhooks.listStatusChanges(endpoint.webhookId);

    expect(items).toEqual([
      {
        id: expect.stringMatching(/^\d+$/),
        at: expect.any(Date),
        from: null,
        to: 'active',
        reason: null,
        actor: 'anna',
      },
    ]);
  });

  test('has every status since, with the reason and who it was, the newest first', async () => {
    await webhooks.suspendWebhook(endpoint.id, 'maintenance', { actor: 'ben' });
    await webhooks.resumeWebhook(endpoint.id, { actor: 'carla' });
    await setStatus("status = 'suspended', status_reason = '20 failures'");
    await setStatus("status = 'failed', status_reason = 'failing for 120 h'");
    await webhooks.resumeWebhook(endpoint.id, { actor: 'carla' });
    await setStatus('is_active = false');
    await webhooks.deleteWebhook(endpoint.id);

    expect(await history()).toEqual([
      // Deleting it, it was inactive already.
      ['active', 'inactive', null, 'postgres'],
      ['failed', 'active', null, 'carla'],
      ['suspended', 'failed', 'failing for 120 h', 'postgres'],
      ['active', 'suspended', '20 failures', 'postgres'],
      ['inactive', 'active', null, 'carla'],
      ['active', 'inactive', 'maintenance', 'ben'],
      [null, 'active', null, 'anna'],
    ]);
  });

  test('says when it was deleted', async () => {
    await webhooks.deleteWebhook(endpoint.id, { actor: 'ben' });

    expect((await history())[0]).toEqual(['active', 'inactive', 'deleted', 'ben']);
  });

  test('does not grow when only counters move, or nothing changes', async () => {
    await webhooks.trackDeliveryAttempt(endpoint.id, false, 'refused');
    await webhooks.updateWebhook(endpoint.id, { description: 'payments' });
    await webhooks.resumeWebhook(endpoint.id);

    expect(await history()).toHaveLength(1);
  });

  test('comes in pages', async () => {
    await webhooks.suspendWebhook(endpoint.id, 'one');
    await webhooks.resumeWebhook(endpoint.id);

    const first = await webhooks.listStatusChanges(endpoint.id, { limit: 2 });
    const second = await webhooks.listStatusChanges(endpoint.id, { limit: 2, cursor: first.nextCursor });
    expect([...first.items, ...second.items].map(({ to }) => to)).toEqual(['active', 'inactive', 'active']);
    expect(second.nextCursor).toBeUndefined();
    expect(await refusal(webhooks.listStatusChanges(endpoint.id, { cursor: 'x' }))).toMatchObject({
      code: 'request_invalid',
      problems: [{ field: 'cursor' }],
    });
  });

  test.each([
    "update moonguard.endpoint_status_changes set reason = 'another'",
    'delete from moonguard.endpoint_status_changes',
    'truncate moonguard.endpoint_status_changes',
  ])('is not changed by %s', async (statement) => {
    await expect(run(statement)).rejects.toThrow('append-only');
  });

  test('goes with the row of its endpoint', async () => {
    await run(`delete from moonpay_webhook_config where id = '${endpoint.id}'`);

    const { rows } = await run(`select 1 from moonguard.endpoint_status_changes where endpoint_id = '${endpoint.id}'`);
    expect(rows).toEqual([]);
  });
});
