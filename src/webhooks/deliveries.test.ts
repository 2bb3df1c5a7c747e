import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { DeliveryStatus } from './delivery.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let made = 0;

async function idsOf(list: Promise<{ items: readonly { id: string }[] }>): Promise<string[]> {
  return (await list).items.map(({ id }) => id);
}

function camelCase(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

forEachDatabase('the deliveries of an endpoint', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());

  const createEndpoint = (): Promise<WebhookEndpoint> => {
    made += 1;
    const url = `https://example.com/deliveries/${made}`;
    return webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
  };

  /** Brings a delivery into a state that a worker would have left it in. */
  const setDelivery = async (id: string, status: DeliveryStatus, lease: 'none' | 'running' | 'over' = 'none') => {
    const token = lease === 'none' ? null : randomUUID();
    await sql`
      update moonguard.deliveries
      set status = ${status}, attempts_count = 3, lease_token = ${token}, next_attempt_at = now() + interval '1 minute',
        leased_until = case ${lease} when 'running' then now() + interval '1 minute' when 'over' then now() - interval '1 minute' end,
        settled_at = case when ${status} in ('delivered', 'exhausted') then now() end
      where id = ${id}
    `.execute(database.db);
  };

  const addAttempt = async (
    deliveryId: string,
    attempt: { number: number; outcome: string; durationMs?: number; errorClass?: string; startedAt?: string },
  ): Promise<void> => {
    const { number, outcome, durationMs = 1, errorClass = null, startedAt = '2026-11-01T00:00:00Z' } = attempt;
    await sql`
      insert into moonguard.delivery_attempts
        (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, response_body, error_class)
      select id, endpoint_id, ${number}, ${startedAt}, ${durationMs}, ${outcome}, convert_to('größer', 'UTF8'), ${errorClass}
      from moonguard.deliveries where id = ${deliveryId}
    `.execute(database.db);
  };

  describe('sendTestEvent', () => {
    test('stores an event on which nothing is to be decided, and one delivery, and wakes the workers', async () => {
      const endpoint = await createEndpoint();
      await createEndpoint();
      const woken = Promise.withResolvers<void>();
      const stopListening = await database.listen('moonguard_deliveries', () => woken.resolve());

      const deliveryId = await webhooks.sendTestEvent(endpoint.webhookId);

      await woken.promise;
      await stopListening();
      const delivery = await webhooks.getDelivery(deliveryId);
      expect(delivery).toEqual({
        id: deliveryId,
        eventId: expect.any(String),
        eventName: 'webhook.test',
        environment: 'sandbox',
        endpointId: endpoint.id,
        webhookId: endpoint.webhookId,
        status: 'pending',
        inFlight: false,
        nextAttemptAt: expect.any(Date),
        attemptsCount: 0,
        lastAttemptAt: null,
        lastResponseStatus: null,
        lastErrorClass: null,
        settledAt: null,
        createdAt: expect.any(Date),
        attempts: [],
      });
      expect((await webhooks.listDeliveries({ eventId: delivery.eventId })).items).toHaveLength(1);
      const { rows } = await sql<{ body: string }>`
        select *, convert_from(raw_body, 'UTF8') as body from public.moonpay_webhook_events where id = ${delivery.eventId}
      `.execute(database.db);
      expect(rows).toMatchObject([{ event_type: 'webhook.test', environment: 'sandbox', processed: true }]);
      expect(JSON.parse(rows[0]?.body ?? '')).toMatchObject({
        type: 'webhook.test',
        data: { id: delivery.eventId, webhookId: endpoint.webhookId },
      });
    });

    test('is refused for an endpoint that is switched off', async () => {
      const { id } = await createEndpoint();
      await webhooks.suspendWebhook(id);

      await expect(webhooks.sendTestEvent(id)).rejects.toMatchObject({ code: 'webhook_status_conflict' });
    });

    test('goes with the caller’s rollback', async () => {
      const { id } = await createEndpoint();
      const undone = database.transaction(async (transaction) => {
        await webhooks.sendTestEvent(id, { transaction });
        throw new Error('changed my mind');
      });
      await expect(undone).rejects.toThrow('changed my mind');

      expect((await webhooks.listDeliveries({ webhookId: id })).items).toEqual([]);
    });
  });

  describe('lists', () => {
    test('go page by page through all, the newest first', async () => {
      const { id } = await createEndpoint();
      const sent: string[] = [];
      for (let i = 0; i < 5; i++) sent.push(await webhooks.sendTestEvent(id));
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await webhooks.listDeliveries({ webhookId: id, limit: 2, cursor });
        expect(page.items.length).toBeLessThanOrEqual(2);
        seen.push(...page.items.map((delivery) => delivery.id));
        cursor = page.nextCursor;
        await webhooks.sendTestEvent(id);
      } while (cursor !== undefined);

      expect(seen).toEqual(sent.toReversed());
    });

    test('show those of an endpoint and a status, and what was never delivered', async () => {
      const { id, webhookId } = await createEndpoint();
      const ids: Partial<Record<DeliveryStatus, string>> = {};
      for (const status of ['pending', 'delivered', 'exhausted', 'held'] as const) {
        ids[status] = await webhooks.sendTestEvent(id);
        await setDelivery(ids[status], status);
      }
      await createEndpoint().then((other) => webhooks.sendTestEvent(other.id));

      expect(await idsOf(webhooks.listDeliveries({ webhookId }))).toHaveLength(4);
      expect(await idsOf(webhooks.listDeliveries({ webhookId, status: 'delivered' }))).toEqual([ids.delivered]);
      expect(await idsOf(webhooks.listUndelivered({ webhookId }))).toEqual([ids.held, ids.exhausted]);

      await webhooks.deleteWebhook(id);
      expect(await idsOf(webhooks.listUndelivered({ webhookId }))).toEqual([ids.held, ids.exhausted, ids.pending]);
    });

    test('refuse what cannot be meant', async () => {
      await expect(webhooks.listDeliveries({ webhookId: 'wh_unknown' })).rejects.toMatchObject({
        code: 'webhook_not_found',
      });
      await expect(webhooks.listUndelivered({ eventId: 'evt_1', limit: 1000 })).rejects.toMatchObject({
        code: 'request_invalid',
        problems: [{ field: 'eventId' }, { field: 'limit' }],
      });
    });
  });

  test('getDelivery shows the attempts in order', async () => {
    const { id } = await createEndpoint();
    const deliveryId = await webhooks.sendTestEvent(id);
    await addAttempt(deliveryId, { number: 2, outcome: 'delivered', durationMs: 12 });
    await addAttempt(deliveryId, { number: 1, outcome: 'retry', errorClass: 'timeout' });

    const { attempts } = await webhooks.getDelivery(deliveryId);

    expect(attempts).toEqual([
      expect.objectContaining({ attemptNumber: 1, outcome: 'retry', errorClass: 'timeout' }),
      expect.objectContaining({
        attemptNumber: 2,
        outcome: 'delivered',
        durationMs: 12,
        startedAt: new Date('2026-11-01T00:00:00Z'),
        responseBody: 'größer',
        errorClass: null,
      }),
    ]);
    for (const unknown of ['', 'x', randomUUID()]) {
      await expect(webhooks.getDelivery(unknown)).rejects.toMatchObject({ code: 'delivery_not_found' });
    }
  });

  describe('retryDelivery', () => {
    test.each<[DeliveryStatus, 'none' | 'over']>([
      ['pending', 'none'],
      ['pending', 'over'],
      ['delivered', 'none'],
      ['exhausted', 'none'],
      ['held', 'none'],
    ])('makes a %s delivery due now (lease: %s), with its attempts', async (status, lease) => {
      const { id } = await createEndpoint();
      const deliveryId = await webhooks.sendTestEvent(id);
      await setDelivery(deliveryId, status, lease);
      const woken = Promise.withResolvers<void>();
      const stopListening = await database.listen('moonguard_deliveries', () => woken.resolve());

      await webhooks.retryDelivery(deliveryId);

      await woken.promise;
      await stopListening();
      expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ status: 'pending', attemptsCount: 3 });
      const { rows } = await sql`
        select from moonguard.deliveries where id = ${deliveryId} and next_attempt_at <= now()
      `.execute(database.db);
      expect(rows).toHaveLength(1);
    });

    test('leaves alone what a worker has', async () => {
      const { id } = await createEndpoint();
      const deliveryId = await webhooks.sendTestEvent(id);
      await setDelivery(deliveryId, 'pending', 'running');
      const read = () => sql`select * from moonguard.deliveries where id = ${deliveryId}`.execute(database.db);
      const before = await read();
      expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ inFlight: true, nextAttemptAt: null });

      await expect(webhooks.retryDelivery(deliveryId)).rejects.toMatchObject({ code: 'webhook_status_conflict' });

      expect((await read()).rows).toEqual(before.rows);
    });

    test('is refused while the endpoint is off; resuming it sends nothing by itself', async () => {
      const { id } = await createEndpoint();
      const deliveryId = await webhooks.sendTestEvent(id);
      await webhooks.suspendWebhook(id);
      expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ status: 'held' });
      await expect(webhooks.retryDelivery(deliveryId)).rejects.toMatchObject({ code: 'webhook_status_conflict' });

      await webhooks.resumeWebhook(id);
      expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ status: 'held' });
      await webhooks.retryDelivery(deliveryId);

      expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ status: 'pending' });
    });

    test('refuses what does not exist', async () => {
      for (const unknown of ['', 'x', randomUUID()]) {
        await expect(webhooks.retryDelivery(unknown)).rejects.toMatchObject({ code: 'delivery_not_found' });
      }
    });
  });

  test('getStats says what the SQL function says', async () => {
    const { id } = await createEndpoint();
    await webhooks.trackDeliveryAttempt(id, true);
    await webhooks.trackDeliveryAttempt(id, false);
    const { rows } = await sql<Record<string, unknown>>`select * from get_moonpay_webhook_stats()`.execute(database.db);
    const expected = Object.fromEntries(Object.entries(rows[0] ?? {}).map(([name, value]) => [camelCase(name), value]));

    expect(await webhooks.getStats()).toEqual({ ...expected, avgSuccessRate: Number(expected['avgSuccessRate']) });
    expect(await webhooks.getStats()).toMatchObject({ avgSuccessRate: 50, successfulAttempts: 1, failedAttempts: 1 });
  });
});
