import { expect, test } from 'vitest';
import { mostWithin } from './mostWithin.ts';
import { conformance } from './product.ts';
import { answering, startReceiver } from './receiver.ts';
import { measureStandstill } from './standstill.ts';
import { startWatcher } from './watcher.ts';

/** Suspended after five failures, then probed once a second. */
const breaker = { failures: 5, probeMs: 1_000 };
const deliverySettings = { timeout_ms: 1_000 };
const persistently = { max_attempts: 100 };

conformance(
  'endpoints that fail',
  (product) => {
    test('13 consecutive failures past the limit: `suspended`, probed with one request; what waits goes out at a bounded rate when it comes back', {
      timeout: 40_000,
    }, async () => {
      const count = 30;
      let isHealthy = false;
      let inFlight = 0;
      const inFlightAtArrival: number[] = [];
      const receiver = await startReceiver((response) => {
        inFlightAtArrival.push(++inFlight);
        response.once('close', () => inFlight--);
        response.writeHead(isHealthy ? 200 : 500).end();
      });
      const watcher = await startWatcher(product);
      const endpoint = await product.endpoint(receiver.url, { deliverySettings, retryPolicy: persistently });

      const eventIds = await product.postMany(count);
      await endpoint.becomes('suspended');
      expect(await endpoint.read()).toMatchObject({ status: 'suspended', isActive: false });
      // What the other worker has leased already still comes; from the first pause on it is one probe at a time.
      for (let pauses = 0, n = receiver.arrivals.length; pauses < 3; n++) {
        const [before, probe] = (await receiver.arrived(n + 1)).slice(n - 1);
        if ((probe?.atMs ?? 0) - (before?.atMs ?? 0) >= 0.5 * breaker.probeMs) pauses += 1;
        else expect(pauses).toBe(0);
      }
      expect(inFlightAtArrival.slice(-3)).toEqual([1, 1, 1]);

      const standstillMs = measureStandstill();
      const sentInVain = receiver.arrivals.length;
      isHealthy = true;
      await endpoint.becomes('active');
      const deliveries = await Promise.all(eventIds.map((eventId) => endpoint.settled(eventId)));

      expect(deliveries.map(({ status }) => status)).toEqual(Array(count).fill('delivered'));
      // Ten a second to begin with, doubling every ten seconds: 13 in the fourth second.
      const wentOut = receiver.arrivals.slice(sentInVain).map(({ atMs }) => atMs);
      expect(mostWithin(1_000, wentOut)).toBeLessThanOrEqual(13 * (1.1 + (2 * standstillMs()) / 1_000));
      expect((await watcher.toldAbout(endpoint)).map(({ type }) => type)).toEqual([
        'webhook.endpoint_suspended',
        'webhook.endpoint_recovered',
      ]);
    });

    test('13 one success resets', async () => {
      const receiver = await startReceiver(answering(500, 500, 500, 500, 200));
      const watcher = await startWatcher(product);
      const endpoint = await product.endpoint(receiver.url, { deliverySettings, retryPolicy: persistently });

      for (let i = 0; i < 3; i++) await endpoint.settled(await product.post());

      expect(receiver.arrivals).toHaveLength(15);
      expect(await endpoint.read()).toMatchObject({ status: 'active', consecutiveFailuresCount: 0 });
      expect(await watcher.toldAbout(endpoint)).toEqual([]);
    });
  },
  { breaker },
);

conformance(
  'endpoints that are given up',
  (product) => {
    test('13 then `failed` after the disabling window: no more requests, one operational event each', {
      timeout: 30_000,
    }, async () => {
      const receiver = await startReceiver(answering(500));
      const watcher = await startWatcher(product);
      const endpoint = await product.endpoint(receiver.url, { deliverySettings, retryPolicy: persistently });

      const eventIds = await product.postMany(10);
      await endpoint.becomes('suspended');
      const suspended = await endpoint.read();
      await endpoint.becomes('failed');
      const failed = await endpoint.read();
      const requests = receiver.arrivals.length;
      const later = await product.post();
      // What a worker had leased at that moment is held when it is claimed next.
      await product.stopWorkers();
      await product.startWorkers();
      const other = await product.endpoint((await startReceiver()).url);
      await other.settled(await product.post());

      expect(failed.statusChangedAt.getTime() - suspended.statusChangedAt.getTime()).toBeGreaterThanOrEqual(1_500);
      expect(failed).toMatchObject({ status: 'failed', isActive: false });
      expect(failed.statusReason).toContain('HTTP 500');
      const deliveries = await Promise.all([...eventIds, later].map((eventId) => endpoint.delivery(eventId)));
      expect(deliveries.map(({ status }) => status)).toEqual(Array(11).fill('held'));
      expect((await watcher.toldAbout(endpoint)).map(({ type }) => type)).toEqual([
        'webhook.endpoint_suspended',
        'webhook.endpoint_failed',
      ]);
      expect(receiver.arrivals).toHaveLength(requests);
    });

    test('3 410: one operational event', async () => {
      const receiver = await startReceiver(answering(410));
      const watcher = await startWatcher(product);
      const endpoint = await product.endpoint(receiver.url);

      await endpoint.settled(await product.post());
      await product.post();

      expect(await watcher.toldAbout(endpoint)).toMatchObject([
        { type: 'webhook.endpoint_failed', data: { status: 'failed', reason: 'the receiver answered 410 Gone' } },
      ]);
    });

    test('12 `exhausted`: one operational event; success on the last attempt: none', async () => {
      const [failing, recovering] = [
        await startReceiver(answering(500)),
        await startReceiver(answering(500, 500, 200)),
      ];
      const watcher = await startWatcher(product);
      const endpoint = await product.endpoint(failing.url);
      const other = await product.endpoint(recovering.url);

      const eventId = await product.post();
      await Promise.all([endpoint.settled(eventId), other.settled(eventId)]);

      expect(await watcher.toldAbout(endpoint)).toMatchObject([
        {
          type: 'webhook.delivery_exhausted',
          data: {
            eventId,
            eventName: 'transaction.updated',
            attempts: 3,
            lastResponseStatus: 500,
            lastErrorClass: 'http_5xx',
          },
        },
      ]);
      expect(await watcher.toldAbout(other)).toEqual([]);
    });

    test('12 nobody is told of operational events that are exhausted themselves', async () => {
      const watcher = await startWatcher(product);
      const failing = await startReceiver(answering(500));
      const watching = await product.endpoint(failing.url, { events: ['webhook.*'] });
      const endpoint = await product.endpoint('http://nowhere.example/');

      const eventId = await product.post();
      await endpoint.settled(eventId);
      const { items } = await product.webhooks.listDeliveries({ webhookId: watching.id });
      await Promise.all(items.map((delivery) => watching.settled(delivery.eventId)));

      expect(items.map(({ eventName }) => eventName)).toEqual(['webhook.delivery_exhausted']);
      expect(failing.arrivals).toHaveLength(3);
      expect(await watcher.toldAbout(watching)).toEqual([]);
    });
  },
  { breaker: { ...breaker, disableAfterMs: 1_500 } },
);
