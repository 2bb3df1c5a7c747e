import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { cli } from '../support/cli.ts';
import { httpServer } from '../support/localServers.ts';
import { buyEvent, webhookKey, webhookRequest } from '../support/moonpay.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

const EVENTS = 3;

forEachDatabase('the statistics of deliveries that were made', (open) => {
  let database: TestDatabase;
  let signals: Observed;
  let moonguard: Moonguard;
  beforeEach(async () => {
    database = await open();
    signals = observed();
    moonguard = await createMoonguard({
      database,
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      webhookKeys: { sandbox: [webhookKey] },
      allowLoopbackDestinations: true,
      retention: { attemptDays: 1 },
      observe: signals.observe,
    });
    await moonguard.start();
  });
  afterEach(async () => {
    await moonguard.stop();
    await database.close();
  });

  async function createEndpoint(status: number, settings: { readonly filter?: string } = {}): Promise<string> {
    const { url } = await httpServer((_, response) => response.writeHead(status).end());
    const { id } = await moonguard.webhooks.createWebhook({
      url,
      events: ['transaction.*'],
      environment: 'sandbox',
      retryPolicy: { max_attempts: 2, initial_delay_ms: 100, jitter: 0 },
      ...settings,
    });
    return id;
  }

  async function receiveEvents(): Promise<void> {
    for (let n = 0; n < EVENTS; n++) {
      const body = buyEvent({ id: `11111111-2222-4333-8444-55555555555${n}` });
      const response = await moonguard.webhooks.handle(webhookRequest('http://localhost/', body), 'sandbox');
      expect(response.status).toBe(200);
    }
  }

  const untilAll = async (...types: readonly Observation['type'][]): Promise<void> => {
    for (const type of types) for (let n = 0; n < EVENTS; n++) await signals.next((reported) => reported.type === type);
  };

  test('agree with get_moonpay_webhook_stats() and the counters, and keep agreeing on what retention leaves', async () => {
    const good = await createEndpoint(200);
    const bad = await createEndpoint(503);
    const choosy = await createEndpoint(200, { filter: 'event.data.status == "completed"' });
    const off = await createEndpoint(200);
    await moonguard.webhooks.suspendWebhook(off);
    await receiveEvents();
    await untilAll('delivery.delivered', 'delivery.exhausted', 'delivery.filtered');

    const { webhooks } = moonguard;
    const all = await webhooks.getStatistics({ bucket: 'day' });
    expect(all).toMatchObject({
      deliveries: {
        made: 4 * EVENTS,
        pending: 0,
        delivered: EVENTS,
        held: EVENTS,
        exhausted: EVENTS,
        filtered: EVENTS,
      },
      attempts: 3 * EVENTS,
      delivered: EVENTS,
      failed: 2 * EVENTS,
      successRate: 33.33,
      byErrorClass: { http_5xx: 2 * EVENTS },
    });
    expect(all.trend.at(-1)).toMatchObject({ attempts: 3 * EVENTS, delivered: EVENTS, failed: 2 * EVENTS });
    const lifetime = {
      totalAttempts: all.attempts,
      successfulAttempts: all.delivered,
      failedAttempts: all.failed,
      avgSuccessRate: 50,
    };
    expect(await webhooks.getStats()).toMatchObject({
      ...lifetime,
      pendingDeliveries: all.deliveries.pending,
      heldDeliveries: all.deliveries.held,
      exhaustedDeliveries: all.deliveries.exhausted,
    });
    for (const id of [good, bad, choosy, off]) {
      const { attempts, delivered, failed } = await webhooks.getStatistics({ webhookId: id });
      expect(await webhooks.getWebhook(id)).toMatchObject({
        deliveryAttemptsCount: attempts,
        successfulDeliveriesCount: delivered,
        failedDeliveriesCount: failed,
      });
    }

    const inTwoDays = new Date(systemRuntime.now() + 2 * 24 * 60 * 60 * 1000);
    expect(await moonguard.retention.run({ now: inTwoDays })).toMatchObject({ attempts: 3 * EVENTS, events: 0 });

    expect(await webhooks.getStatistics()).toMatchObject({
      deliveries: all.deliveries,
      attempts: 0,
      successRate: null,
    });
    expect(await webhooks.getStats()).toMatchObject({ ...lifetime, exhaustedDeliveries: EVENTS });
  });
});

test('the command draws the trend, and gives the same as JSON', { timeout: 120_000 }, async () => {
  const database = await openTestDatabase('postgres');
  try {
    const masterKey = Buffer.alloc(32, 7).toString('base64');
    const moonguard = await createMoonguard({ database, masterKey });
    const url = 'https://example.com/hook';
    const { webhookId, id } = await moonguard.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
    await moonguard.stop();
    await sql`
      insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, error_class)
      select gen_random_uuid(), ${id}, 1, '2026-11-02T10:00:00Z'::timestamptz + interval '1 hour' * (n / 12), n * 10,
        case n % 12 when 1 then 'retry' else 'delivered' end, case n % 12 when 1 then 'timeout' end
      from generate_series(1, 30) as n
    `.execute(database.db);

    const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey };
    const window = ['--since', '2026-11-02T10:00:00Z', '--until', '2026-11-02T14:00:00Z', '--bucket', 'hour'];
    const stats = (...more: string[]) =>
      cli(['webhooks', 'stats', '--endpoint', webhookId, ...window, ...more], { env });
    const { stdout } = await stats();
    expect(stdout).toMatch(/^success rate +90$/m);
    expect(stdout).toMatch(/^p95 +290 ms$/m);
    expect(stdout).toMatch(/^timeout +3$/m);
    const trend = stdout.slice(stdout.indexOf('FROM')).split('\n');
    expect(trend).toEqual([
      'FROM                  ATTEMPTS  FAILED  P95 MS  █ DELIVERED ░ FAILED',
      `2026-11-02 10:00:00Z        11       1     110  ${'█'.repeat(25)}${'░'.repeat(3)}`,
      `2026-11-02 11:00:00Z        12       1     230  ${'█'.repeat(28)}${'░'.repeat(3)}`,
      `2026-11-02 12:00:00Z         7       1     300  ${'█'.repeat(15)}${'░'.repeat(3)}`,
      '2026-11-02 13:00:00Z         0       0       –',
      '',
    ]);
    expect(JSON.parse((await stats('--json')).stdout)).toMatchObject({
      now: { totalWebhooks: 1 },
      statistics: { attempts: 30, trend: [{ attempts: 11 }, { attempts: 12 }, { attempts: 7 }, { attempts: 0 }] },
    });
    const ago = await cli(['webhooks', 'stats', '--since', '2 days', '--bucket', 'hour'], { env });
    expect(ago).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('It must be a time such as') });
  } finally {
    await database.close();
  }
});
