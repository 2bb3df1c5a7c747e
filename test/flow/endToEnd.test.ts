import type { IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { httpServer } from '../support/localServers.ts';
import { buyEvent, examplePayloads, verifiesAsMoonpay, webhookKey, webhookRequest } from '../support/moonpay.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('from MoonPay to the endpoint', (open) => {
  let database: TestDatabase;
  let signals: Observed;
  let moonguard: Moonguard;
  let server: RunningServer;

  beforeEach(async () => {
    signals = observed();
    database = await open();
    moonguard = await createMoonguard({
      database,
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      webhookKeys: { sandbox: [webhookKey] },
      allowLoopbackDestinations: true,
      observe: signals.observe,
    });
    server = await startServer(moonguard, { host: '127.0.0.1', port: 0 });
    await moonguard.start();
  });
  afterEach(async () => {
    await server.close();
    await moonguard.stop();
    await database.close();
  });

  const post = (body: Uint8Array | string) => fetch(webhookRequest(`${server.url}/webhooks/moonpay/sandbox`, body));

  testWithShared('every example payload arrives as a copy that both schemes verify', async () => {
    const received: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
    const receiver = await httpServer(async (request, response) => {
      received.push({ headers: request.headers, body: await buffer(request) });
      response.end();
    });
    const { secret } = await moonguard.webhooks.createWebhook({
      url: receiver.url,
      events: ['*'],
      environment: 'sandbox',
    });

    const payloads = examplePayloads();
    for (const { body, file } of payloads) {
      const response = await post(body);
      expect(response.status, file).toBe(200);
      expect(await response.json(), file).toMatchObject({ received: true, duplicate: false });
    }
    for (const _ of payloads) await signals.next((o) => o.type === 'delivery.delivered');

    const sorted = (bodies: Buffer[]) => bodies.map((body) => body.toString('hex')).toSorted();
    expect(sorted(received.map(({ body }) => body))).toEqual(sorted(payloads.map(({ body }) => body)));
    for (const { headers, body } of received) {
      new Webhook(secret).verify(body.toString(), headers as Record<string, string>);
      expect(verifiesAsMoonpay(headers, body, secret)).toBe(true);
      expect(verifiesAsMoonpay(headers, Buffer.concat([body, Buffer.from(' ')]), secret)).toBe(false);
    }
    const stats = await moonguard.webhooks.getStats();
    expect(stats).toMatchObject({
      totalWebhooks: 1,
      activeWebhooks: 1,
      failedWebhooks: 0,
      successfulAttempts: payloads.length,
    });
  });

  test('a rejected identity check becomes one alert and a row of the policy log, however often it is sent', async () => {
    const body = JSON.stringify({
      type: 'identity_check_updated',
      data: {
        id: 'check',
        customerId: 'customer',
        status: 'completed',
        result: 'rejected',
        rejectType: 'final',
        updatedAt: '2026-11-01T10:00:00.000Z',
      },
    });
    for (let sent = 0; sent < 10; sent++) expect((await post(body)).status).toBe(200);
    await signals.next((o) => o.type === 'event.decided');
    await post(buyEvent({ status: 'completed' }));
    await signals.next((o) => o.type === 'event.decided');

    expect((await moonguard.compliance.listAlerts()).items).toMatchObject([
      { alertType: 'kyc_verification', severity: 'high', status: 'open', customerId: 'customer', occurrenceCount: 1 },
    ]);
    const { rows } = await sql`select * from moonpay_policy_logs where action_type = 'rule_triggered'`.execute(
      database.db,
    );
    expect(rows).toHaveLength(1);
  });

  test('the server says whether it lives and whether it is ready, and knows no other address', async () => {
    expect(await (await fetch(`${server.url}/healthz`)).json()).toEqual({ status: 'ok' });
    const ready = await fetch(`${server.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', database: 'ok', schema: 'current' }]);
    expect((await fetch(`${server.url}/webhooks/moonpay/staging`, { method: 'POST' })).status).toBe(404);
    expect((await fetch(`${server.url}/nothing`)).status).toBe(404);
  });

  test('a body beyond the limit is refused over a real connection, also without Content-Length', async () => {
    const large = buyEvent({ padding: 'x'.repeat(1_100_000) });
    expect((await post(large)).status).toBe(413);
    const { headers } = webhookRequest(server.url, large);
    const chunked = await fetch(`${server.url}/webhooks/moonpay/sandbox`, {
      method: 'POST',
      headers,
      body: new Blob([large]).stream(),
      duplex: 'half',
    });
    expect(chunked.status).toBe(413);
    expect((await post(buyEvent({}))).status).toBe(200);
  });
});
