import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let made = 0;

forEachDatabase('getStatistics', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());

  const createEndpoint = async (): Promise<string> => {
    made += 1;
    const url = `https://example.com/statistics/${made}`;
    return (await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' })).id;
  };

  const addAttempt = async (
    endpointId: string,
    attempt: { outcome: string; durationMs?: number; errorClass?: string; startedAt: string },
  ): Promise<void> => {
    const { outcome, durationMs = 1, errorClass = null, startedAt } = attempt;
    await sql`
      insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, error_class)
      values (${randomUUID()}, ${endpointId}, 1, ${startedAt}, ${durationMs}, ${outcome}, ${errorClass})
    `.execute(database.db);
  };

  const addDelivery = async (endpointId: string, status: string, madeAt: string): Promise<void> => {
    await sql`
      insert into moonguard.deliveries (id, event_id, endpoint_id, status, event_sequence)
      values ((left(moonguard.uuid_v7_floor(${madeAt})::text, 15) || ${randomUUID().slice(15)})::uuid, ${randomUUID()},
        ${endpointId}, ${status}, 1)
    `.execute(database.db);
  };

  test('counts, measures and classes the attempts of a window', async () => {
    const webhookId = await createEndpoint();
    for (let number = 1; number <= 100; number++) {
      await addAttempt(webhookId, {
        durationMs: number * 10,
        startedAt: `2026-11-02T00:00:${String(Math.floor(number / 2)).padStart(2, '0')}Z`,
        ...(number % 4 === 0
          ? { outcome: 'retry', errorClass: number % 8 === 0 ? 'timeout' : 'http_5xx' }
          : { outcome: 'delivered' }),
      });
    }

    expect(await webhooks.getStatistics({ webhookId })).toMatchObject({
      attempts: 100,
      delivered: 75,
      failed: 25,
      successRate: 75,
      durationMs: { p50: 500, p95: 950, p99: 990 },
      byErrorClass: { timeout: 12, http_5xx: 13 },
      trend: [],
    });
    // Attempts 4 to 9: seconds 2 to 4, the end not included.
    const since = new Date('2026-11-02T00:00:02Z');
    const until = new Date('2026-11-02T00:00:05Z');
    expect(await webhooks.getStatistics({ webhookId, since, until })).toMatchObject({
      attempts: 6,
      delivered: 4,
      failed: 2,
      successRate: 66.67,
      durationMs: { p50: 60, p95: 90, p99: 90 },
      byErrorClass: { timeout: 1, http_5xx: 1 },
    });
  });

  test('counts deliveries by when they were made and what they are now', async () => {
    const webhookId = await createEndpoint();
    await addDelivery(webhookId, 'held', '2026-11-01T23:59:59.999Z');
    for (const status of [
      'pending',
      'delivered',
      'delivered',
      'held',
      'exhausted',
      'filtered',
      'filtered',
      'filtered',
    ]) {
      await addDelivery(webhookId, status, '2026-11-02T00:00:00Z');
    }
    await addDelivery(webhookId, 'exhausted', '2026-11-03T00:00:00Z');

    const window = { since: new Date('2026-11-02T00:00:00Z'), until: new Date('2026-11-03T00:00:00Z') };
    expect(await webhooks.getStatistics({ webhookId, ...window })).toMatchObject({
      deliveries: { made: 8, pending: 1, delivered: 2, held: 1, exhausted: 1, filtered: 3 },
      attempts: 0,
      failed: 0,
    });
    expect((await webhooks.getStatistics({ webhookId })).deliveries).toMatchObject({ made: 10, held: 2, exhausted: 2 });
  });

  test('of no attempts has no rate and no durations', async () => {
    expect(await webhooks.getStatistics({ webhookId: await createEndpoint() })).toEqual({
      deliveries: { made: 0, pending: 0, delivered: 0, held: 0, exhausted: 0, filtered: 0 },
      attempts: 0,
      delivered: 0,
      failed: 0,
      successRate: null,
      durationMs: { p50: null, p95: null, p99: null },
      byErrorClass: {},
      trend: [],
    });
  });

  test('a trend has every bucket of the window, in UTC, with zeros where nothing was', async () => {
    const webhookId = await createEndpoint();
    await addAttempt(webhookId, { outcome: 'delivered', durationMs: 999, startedAt: '2026-11-02T10:59:59.999Z' });
    await addAttempt(webhookId, { outcome: 'delivered', durationMs: 10, startedAt: '2026-11-02T11:30:00Z' });
    await addAttempt(webhookId, { outcome: 'exhausted', durationMs: 30, startedAt: '2026-11-02T11:59:59.999Z' });
    await addAttempt(webhookId, { outcome: 'delivered', durationMs: 20, startedAt: '2026-11-02T13:00:00Z' });
    await addAttempt(webhookId, { outcome: 'delivered', durationMs: 999, startedAt: '2026-11-02T14:00:00Z' });

    const window = { since: new Date('2026-11-02T11:00:00Z'), until: new Date('2026-11-02T14:00:00Z') };
    const { trend, attempts } = await webhooks.getStatistics({ webhookId, ...window, bucket: 'hour' });
    expect(trend).toEqual([
      { at: new Date('2026-11-02T11:00:00Z'), attempts: 2, delivered: 1, failed: 1, p95: 30 },
      { at: new Date('2026-11-02T12:00:00Z'), attempts: 0, delivered: 0, failed: 0, p95: null },
      { at: new Date('2026-11-02T13:00:00Z'), attempts: 1, delivered: 1, failed: 0, p95: 20 },
    ]);
    expect(attempts).toBe(3);
    const days = await webhooks.getStatistics({ webhookId, ...window, bucket: 'day' });
    expect(days.trend).toEqual([
      { at: new Date('2026-11-02T00:00:00Z'), attempts: 3, delivered: 2, failed: 1, p95: 30 },
    ]);
  });

  test('without a time a trend is of the last hour, day or 30 days', async () => {
    const webhookId = await createEndpoint();
    for (const [bucket, points] of [
      ['minute', 61],
      ['hour', 25],
      ['day', 31],
    ] as const) {
      const { trend } = await webhooks.getStatistics({ webhookId, bucket });
      expect(trend.length, bucket).toBe(points);
    }
  });

  test('leaves deleted endpoints out, unless one is asked for', async () => {
    const [webhookId, another] = [await createEndpoint(), await createEndpoint()];
    await addDelivery(another, 'exhausted', '2026-11-01T00:00:00Z');
    const before = await webhooks.getStatistics();
    await addAttempt(webhookId, { outcome: 'delivered', startedAt: '2026-11-01T00:00:00Z' });
    await addDelivery(webhookId, 'exhausted', '2026-11-01T00:00:00Z');
    const exhausted = async () => {
      const { exhaustedDeliveries } = await webhooks.getStats();
      const { deliveries } = await webhooks.getStatistics();
      expect(exhaustedDeliveries).toBe(deliveries.exhausted);
      return exhaustedDeliveries;
    };
    expect(await webhooks.getStatistics()).toMatchObject({ attempts: before.attempts + 1 });
    expect(await exhausted()).toBe(before.deliveries.exhausted + 1);

    await webhooks.deleteWebhook(webhookId);

    expect(await webhooks.getStatistics()).toMatchObject({ attempts: before.attempts });
    expect(await exhausted()).toBe(before.deliveries.exhausted);
    expect(await webhooks.getStatistics({ webhookId })).toMatchObject({ attempts: 1, deliveries: { made: 1 } });
  });

  test('refuses an unknown endpoint, a window that is none, and a trend of too many buckets', async () => {
    await expect(webhooks.getStatistics({ webhookId: 'x' })).rejects.toMatchObject({ code: 'webhook_not_found' });
    await expect(webhooks.getStatistics({ since: new Date('x') })).rejects.toMatchObject({
      code: 'request_invalid',
      field: 'since',
    });
    await expect(webhooks.getStatistics({ since: new Date(0), bucket: 'minute' })).rejects.toMatchObject({
      code: 'request_invalid',
      problems: [{ code: 'too_many_buckets', field: 'bucket' }],
    });
  });
});
