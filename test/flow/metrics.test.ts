import { expect, test } from 'vitest';
import { createMoonguard } from '../../src/moonguard.ts';
import { cli, startCli } from '../support/cli.ts';
import { httpServer } from '../support/localServers.ts';
import { buyEvent, webhookKey, webhookRequest } from '../support/moonpay.ts';
import { forEachDatabase, openTestDatabase } from '../support/testDatabase.ts';

const PROCESSES_TAKE_TIME_MS = 120_000;
const masterKey = Buffer.alloc(32, 7).toString('base64');
const token = 'a-token-for-the-tests';

function scrape(url: string, given?: string): Promise<Response> {
  return fetch(`${url}/metrics`, given === undefined ? {} : { headers: { authorization: `Bearer ${given}` } });
}

test('the server counts what it receives, for whoever has the token', { timeout: PROCESSES_TAKE_TIME_MS }, async () => {
  const database = await openTestDatabase('postgres');
  try {
    const env = {
      DATABASE_URL: database.url,
      MOONGUARD_MASTER_KEY: masterKey,
      MOONPAY_WEBHOOK_KEYS_SANDBOX: webhookKey,
      MOONGUARD_METRICS_TOKEN: token,
    };
    const server = startCli(['start', '--port', '0'], { env });
    const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox$/);
    const send = (key: string) => fetch(webhookRequest(`${url}/webhooks/moonpay/sandbox`, buyEvent({}), { key }));
    expect((await send(webhookKey)).status).toBe(200);
    expect((await send('wk_test_another_key_00')).status).toBe(401);

    for (const wrong of [undefined, '', 'another-token-1234567']) {
      const response = await scrape(url, wrong);
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: 'metrics_unauthorized' } });
    }
    const metrics = await scrape(url, token);
    expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await metrics.text();
    expect(text).toMatch(/^moonguard_events_total\{environment="sandbox",outcome="stored"\} 1$/m);
    expect(text).toMatch(/^moonguard_events_refused_total\{environment="sandbox",code="signature_mismatch"\} 1$/m);
    expect(text).toMatch(/^moonguard_database_up 1$/m);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    server.kill('SIGTERM');
    await server.untilExit();
  } finally {
    await database.close();
  }
});

test('without a token there are no metrics', { timeout: PROCESSES_TAKE_TIME_MS }, async () => {
  const database = await openTestDatabase('postgres');
  try {
    const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey };
    const server = startCli(['start', '--port', '0'], { env });
    const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox/);
    expect((await scrape(url, 'undefined')).status).toBe(404);
    server.kill('SIGTERM');
    await server.untilExit();
    const worker = await cli(['worker', '--metrics-port', '0'], { env });
    expect(worker).toMatchObject({ code: 1, stderr: expect.stringMatching(/^configuration_invalid: .*TOKEN/) });
  } finally {
    await database.close();
  }
});

test('several processes are counted together at one address', { timeout: PROCESSES_TAKE_TIME_MS }, async () => {
  const database = await openTestDatabase('postgres');
  const moonguard = await createMoonguard({ database, masterKey, allowLoopbackDestinations: true });
  try {
    const arrived = Promise.withResolvers<void>();
    let requests = 0;
    const { url: hook } = await httpServer((_, response) => {
      requests += 1;
      response.end();
      if (requests === 10) arrived.resolve();
    });
    const endpoint = await moonguard.webhooks.createWebhook({ url: hook, events: ['*'], environment: 'sandbox' });
    const worker = startCli(['worker', '--processes', '2', '--metrics-port', '0'], {
      env: {
        DATABASE_URL: database.url,
        MOONGUARD_MASTER_KEY: masterKey,
        MOONGUARD_METRICS_TOKEN: token,
        MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: 'true',
      },
    });
    const [, url = ''] = await worker.untilLine(/^Metrics at (http:\S+)\/metrics/);
    await worker.untilLine(/(Worker \d+ is ready[^]*?){2}/);
    for (let n = 0; n < 10; n++) await moonguard.webhooks.sendTestEvent(endpoint.id);
    await arrived.promise;

    expect((await scrape(url)).status).toBe(401);
    // Results are written, and counted, in batches soon after.
    let text: string;
    do text = await (await scrape(url, token)).text();
    while (!text.includes('moonguard_deliveries_total{outcome="delivered"} 10'));
    // What waits may have been counted before them.
    text = await (await scrape(url, token)).text();
    expect(text).toMatch(/^moonguard_deliveries_pending 0$/m);
    expect(text).toMatch(/^moonguard_settled_deliveries_total 10$/m);
    expect(text.match(/^moonguard_database_up/gm)).toHaveLength(1);
    worker.kill('SIGTERM');
    expect(await worker.untilExit()).toMatchObject({ code: 0 });
  } finally {
    await moonguard.stop();
    await database.close();
  }
});

forEachDatabase('what waits to be delivered', (open) => {
  test('is counted, and the oldest due delivery to an active endpoint that no worker has', async () => {
    const database = await open();
    const moonguard = await createMoonguard({ database, masterKey });
    try {
      expect(await moonguard.deliveryQueue()).toEqual({ pending: 0, oldestDueSeconds: 0 });
      const create = (url: string) => moonguard.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
      const [active, off] = [await create('https://a.example.com'), await create('https://b.example.com')];
      await database.runScript(`
        insert into moonguard.deliveries (event_id, endpoint_id, event_sequence, next_attempt_at, leased_until, lease_token) values
          (gen_random_uuid(), '${active.id}', 1, now() - interval '600 seconds', now() + interval '1 minute', gen_random_uuid()),
          (gen_random_uuid(), '${active.id}', 2, now() - interval '500 seconds', now() - interval '1 second', gen_random_uuid()),
          (gen_random_uuid(), '${active.id}', 3, now() - interval '400 seconds', null, null),
          (gen_random_uuid(), '${active.id}', 4, now() + interval '400 seconds', null, null),
          (gen_random_uuid(), '${off.id}', 5, now() - interval '900 seconds', null, null);
        update moonpay_webhook_config set status = 'suspended' where id = '${off.id}'`);
      const { pending, oldestDueSeconds } = await moonguard.deliveryQueue();
      expect(pending).toBe(5);
      expect(oldestDueSeconds).toBeGreaterThanOrEqual(500);
      expect(oldestDueSeconds).toBeLessThan(600);
    } finally {
      await moonguard.stop();
      await database.close();
    }
  });
});
