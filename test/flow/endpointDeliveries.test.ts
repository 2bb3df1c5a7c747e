import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaultBreaker } from '../../src/deliver/breaker.ts';
import { DeliveryWorker } from '../../src/deliver/DeliveryWorker.ts';
import { createEndpointPreparer } from '../../src/deliver/endpointPreparer.ts';
import { createSender, type Sender } from '../../src/deliver/send.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { WebhookHandler } from '../../src/webhooks/WebhookHandler.ts';
import { httpServer } from '../support/localServers.ts';
import { meanwhile } from '../support/meanwhile.ts';
import { refusal } from '../support/refusal.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { openWebhooks } from '../support/webhooks.ts';

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What the receiver's code does; throws when the signature is wrong. */
function verify(secret: string, { headers, body }: Received): unknown {
  const signed = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, String(headers[name])]);
  return new Webhook(secret).verify(body, Object.fromEntries(signed));
}

forEachDatabase('what an owner of an endpoint does with its deliveries', (open) => {
  let database: TestDatabase;
  let signals: Observed;
  let webhooks: WebhookHandler;
  let sender: Sender;
  let worker: DeliveryWorker;
  beforeEach(async () => {
    database = await open();
    signals = observed();
    const opened = openWebhooks(database, { allowLoopbackDestinations: true });
    ({ webhooks } = opened);
    sender = createSender({ allowLoopback: () => true });
    const { endpointSecrets } = opened;
    const { observe } = signals;
    const clientCertificates = { find: async () => undefined };
    const prepareEndpoint = createEndpointPreparer({ database, observe, endpointSecrets, clientCertificates });
    const means = { database, runtime: systemRuntime, observe, sender, prepareEndpoint };
    worker = new DeliveryWorker({ ...means, concurrency: 4, breaker: defaultBreaker });
    await worker.start();
  });
  afterEach(async () => {
    await worker.stop();
    await sender.close();
    await database.close();
  });

  /** A receiver that answers with the status it has at the moment, and an endpoint that leads to it. */
  async function createReceiver() {
    const received: Received[] = [];
    const answer = { status: 200 };
    const { url } = await httpServer(async (request, response) => {
      received.push({ headers: request.headers, body: await text(request) });
      response.writeHead(answer.status).end();
    });
    const endpoint = await webhooks.createWebhook({
      url,
      events: ['transaction.*'],
      environment: 'sandbox',
      retryPolicy: { maxAttempts: 1 },
    });
    return { endpoint, received, answer };
  }

  const settled = (deliveryId: string, type: 'delivery.delivered' | 'delivery.exhausted') =>
    signals.next((observation) => observation.type === type && observation.deliveryId === deliveryId);

  test('a test event arrives, signed with the secret that was shown', async () => {
    const { endpoint, received } = await createReceiver();

    const deliveryId = await webhooks.sendTestEvent(endpoint.webhookId);
    await settled(deliveryId, 'delivery.delivered');

    expect(received).toHaveLength(1);
    const [arrived] = received;
    const verified = arrived && verify(endpoint.secret, arrived);
    expect(verified).toMatchObject({ type: 'webhook.test', data: { webhookId: endpoint.webhookId } });
    expect(await webhooks.getDelivery(deliveryId)).toMatchObject({
      status: 'delivered',
      attempts: [{ attemptNumber: 1, outcome: 'delivered', responseStatus: 200 }],
    });
  });

  test('during a rotation’s overlap it verifies with the old secret and with the new one', async () => {
    const { endpoint, received } = await createReceiver();
    const { secret } = await webhooks.rotateSecret(endpoint.id);

    await settled(await webhooks.sendTestEvent(endpoint.id), 'delivery.delivered');

    const [arrived] = received;
    const payloads = [endpoint.secret, secret].map((each) => arrived && verify(each, arrived));
    expect(payloads).toMatchObject([{ type: 'webhook.test' }, { type: 'webhook.test' }]);
  });

  test('an exhausted delivery is retried once the receiver works again', async () => {
    const { endpoint, answer } = await createReceiver();
    answer.status = 500;
    const deliveryId = await webhooks.sendTestEvent(endpoint.id);
    await settled(deliveryId, 'delivery.exhausted');
    expect((await webhooks.listUndelivered()).items).toMatchObject([{ id: deliveryId, status: 'exhausted' }]);

    answer.status = 200;
    await webhooks.retryDelivery(deliveryId);
    await settled(deliveryId, 'delivery.delivered');

    expect(await webhooks.getDelivery(deliveryId)).toMatchObject({
      status: 'delivered',
      attemptsCount: 2,
      attempts: [{ outcome: 'exhausted', responseStatus: 500 }, { outcome: 'delivered' }],
    });
    expect((await webhooks.listUndelivered()).items).toEqual([]);
  });

  test('the statistics agree with the counters and with get_moonpay_webhook_stats()', async () => {
    const good = await createReceiver();
    const bad = await createReceiver();
    bad.answer.status = 503;
    for (let i = 0; i < 3; i++) await settled(await webhooks.sendTestEvent(good.endpoint.id), 'delivery.delivered');
    for (let i = 0; i < 2; i++) await settled(await webhooks.sendTestEvent(bad.endpoint.id), 'delivery.exhausted');

    const all = await webhooks.getStatistics();
    expect(all).toMatchObject({ attempts: 5, delivered: 3, failed: 2, successRate: 60, byErrorClass: { http_5xx: 2 } });
    expect(await webhooks.getStats()).toMatchObject({
      totalWebhooks: 2,
      avgSuccessRate: 50,
      totalAttempts: all.attempts,
      successfulAttempts: all.delivered,
      failedAttempts: all.failed,
      exhaustedDeliveries: 2,
    });
    for (const { endpoint } of [good, bad]) {
      const { attempts, delivered, failed } = await webhooks.getStatistics({ webhookId: endpoint.id });
      expect(await webhooks.getWebhook(endpoint.id)).toMatchObject({
        deliveryAttemptsCount: attempts,
        successfulDeliveriesCount: delivered,
        failedDeliveriesCount: failed,
      });
    }
  });

  test('a retry while somebody switches the endpoint off waits, and is refused', async () => {
    const { endpoint, answer, received } = await createReceiver();
    answer.status = 500;
    const deliveryId = await webhooks.sendTestEvent(endpoint.id);
    await settled(deliveryId, 'delivery.exhausted');

    const retried = meanwhile(
      database,
      (transaction) => webhooks.suspendWebhook(endpoint.id, undefined, { transaction }),
      () => webhooks.retryDelivery(deliveryId),
    );

    expect(await refusal(retried)).toMatchObject({ code: 'webhook_status_conflict' });
    expect(received).toHaveLength(1);
  });

  test('what retention has emptied is not sent again', async () => {
    const { endpoint, received } = await createReceiver();
    const deliveryId = await webhooks.sendTestEvent(endpoint.id);
    await settled(deliveryId, 'delivery.delivered');
    await database.runScript("update moonpay_webhook_events set raw_body = null, event_data = 'null'");

    expect(await refusal(webhooks.retryDelivery(deliveryId))).toMatchObject({ code: 'webhook_status_conflict' });
    expect(await webhooks.getDelivery(deliveryId)).toMatchObject({ status: 'delivered' });
    expect(received).toHaveLength(1);
  });
});
