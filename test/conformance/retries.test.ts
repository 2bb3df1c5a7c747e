import { Webhook } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { mostWithin } from './mostWithin.ts';
import { conformance, newPurchase } from './product.ts';
import { type Arrival, answering, startReceiver } from './receiver.ts';
import { measureStandstill } from './standstill.ts';

// The breaker would keep a thousand failures from coming back at all.
const breaker = { failures: 1_000_000 };

conformance(
  'retries',
  (product) => {
    test.each(['provider', 'envelope'] as const)(
      '8 every retry carries the same webhook-id, a byte-identical body, a fresh webhook-timestamp, and a signature valid for it: payload %s',
      async (payload) => {
        const receiver = await startReceiver(answering(500, 503, 200));
        const deliverySettings = { payload };
        const retryPolicy = { initial_delay_ms: 1_100, max_delay_ms: 1_100 };
        const endpoint = await product.endpoint(receiver.url, { deliverySettings, retryPolicy });

        const eventId = await product.post(` ${newPurchase()}\n`);
        const { attempts } = await endpoint.settled(eventId);

        expect(attempts.map(({ outcome }) => outcome)).toEqual(['retry', 'retry', 'delivered']);
        const { arrivals } = receiver;
        expect(arrivals.map(({ headers }) => headers['webhook-id'])).toEqual(Array(3).fill(`evt_${eventId}`));
        expect(new Set(arrivals.map(({ body }) => body.toString('hex'))).size).toBe(1);
        const timestamps = arrivals.map(({ headers }) => Number(headers['webhook-timestamp']));
        expect(new Set(timestamps).size).toBe(3);
        for (const [i, { atMs, headers, body }] of arrivals.entries()) {
          expect(Math.abs(atMs / 1_000 - (timestamps[i] ?? 0))).toBeLessThan(2);
          new Webhook(endpoint.secret).verify(body.toString(), headers as Record<string, string>);
        }
      },
    );

    test('11 the gaps follow the retry schedule within the jitter', { timeout: 30_000 }, async () => {
      const initial = 200;
      const schedules = {
        exponential: [200, 400, 500],
        linear: [200, 400, 500],
        fixed: [200, 200, 200],
      } as const;
      const jitter = 0.5;
      const strategies = ['exponential', 'linear', 'fixed'] as const;
      const receivers = await Promise.all(
        strategies.map(async (backoff_strategy) => {
          const receiver = await startReceiver(answering(500));
          const retryPolicy = {
            backoff_strategy,
            initial_delay_ms: initial,
            max_delay_ms: 500,
            max_attempts: 4,
            jitter,
          };
          await product.endpoint(receiver.url, { retryPolicy });
          return { receiver, schedule: schedules[backoff_strategy] };
        }),
      );

      const eventIds = await product.postMany(10);
      const standstillMs = measureStandstill();

      for (const { receiver, schedule } of receivers) {
        await receiver.arrived(4 * eventIds.length);
        const gaps = eventIds.map((eventId) => gapsBetween(receiver.arrivalsOf(eventId)));
        for (const [i, delay] of schedule.entries()) {
          const ofRetry = gaps.map((each) => each[i] ?? 0);
          expect(Math.min(...ofRetry)).toBeGreaterThanOrEqual(delay * (1 - jitter) - 1);
          // What claiming and sending take on a busy machine comes on top.
          expect(Math.max(...ofRetry)).toBeLessThan(delay * (1 + jitter) + 250 + 2 * standstillMs());
        }
      }
    });

    test('11 a thousand failures at once do not come back in the same second', { timeout: 40_000 }, async () => {
      const count = 1_000;
      const receiver = await startReceiver(answering(500, 200));
      const retryPolicy = { initial_delay_ms: 6_000, max_delay_ms: 6_000, jitter: 0.5 };
      await product.endpoint(receiver.url, { retryPolicy });
      await product.stopWorkers();
      await product.postMany(count);
      await product.startWorkers();

      const arrivals = await receiver.arrived(2 * count, 30_000);

      const timesOf = (wanted: number) => arrivals.filter(({ attempt }) => attempt === wanted).map(({ atMs }) => atMs);
      expect(timesOf(2)).toHaveLength(count);
      // Without jitter they would come back as close together as they went out.
      expect(mostWithin(1_000, timesOf(2))).toBeLessThan(0.6 * mostWithin(1_000, timesOf(1)));
    });

    test('12 after the last attempt the delivery is `exhausted`: no more requests', async () => {
      const receiver = await startReceiver(answering(500));
      const endpoint = await product.endpoint(receiver.url);

      const eventId = await product.post();
      const delivery = await endpoint.settled(eventId);
      // Whatever would still come of the first event is due before the second one.
      await endpoint.settled(await product.post());

      expect(delivery).toMatchObject({ status: 'exhausted', attemptsCount: 3, nextAttemptAt: null });
      expect(delivery.attempts.map(({ outcome }) => outcome)).toEqual(['retry', 'retry', 'exhausted']);
      expect(receiver.arrivalsOf(eventId)).toHaveLength(3);
    });

    test('12 success on the last attempt is success', async () => {
      const receiver = await startReceiver(answering(500, 500, 200));
      const endpoint = await product.endpoint(receiver.url);

      const delivery = await endpoint.settled(await product.post());

      expect(delivery).toMatchObject({ status: 'delivered', attemptsCount: 3 });
      expect(receiver.arrivals).toHaveLength(3);
    });
  },
  { breaker },
);

function gapsBetween(arrivals: readonly Arrival[]): number[] {
  return arrivals.slice(1).map(({ atMs }, i) => atMs - (arrivals[i]?.atMs ?? 0));
}
