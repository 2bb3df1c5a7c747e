import { expect, test } from 'vitest';
import type { Replay } from '../../src/webhooks/replay.ts';
import type { Endpoint } from './endpoint.ts';
import { mostWithin } from './mostWithin.ts';
import { conformance, type Product } from './product.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { measureStandstill } from './standstill.ts';

/** Deliveries that were held because their endpoint was switched off, which it is no longer. */
async function heldDeliveries(product: Product, receiver: Receiver, count: number, rate?: number): Promise<Endpoint> {
  const deliverySettings = { rate_limit_per_second: rate ?? null };
  const endpoint = await product.endpoint(receiver.url, { deliverySettings });
  await product.webhooks.suspendWebhook(endpoint.id);
  await product.postMany(count);
  await product.webhooks.resumeWebhook(endpoint.id);
  return endpoint;
}

conformance('bulk replay', (product) => {
  const ended = async (replayId: string): Promise<Replay> => {
    await product.next((o) => o.type === 'replay.completed' && o.replayId === replayId);
    return product.webhooks.getReplay(replayId);
  };
  const arrivalsPerEvent = ({ arrivals, arrivalsOf }: Receiver): number =>
    Math.max(...arrivals.map(({ eventId }) => arrivalsOf(eventId).length));

  test('24 bulk replay (of 1,000 deliveries) survives a restart half-way, shows progress, sends each at most once more', {
    timeout: 60_000,
  }, async () => {
    const count = 1_000;
    const receiver = await startReceiver();
    const endpoint = await heldDeliveries(product, receiver, count);

    const { id, totalCount } = await product.webhooks.replayDeliveries({ webhookId: endpoint.id, ratePerSecond: 500 });
    await receiver.arrived(count / 4, 30_000);
    await product.stopWorkers();
    const halfWay = await product.webhooks.getReplay(id);
    const arrivedHalfWay = receiver.arrivals.length;
    await product.startWorkers();
    await receiver.arrived(count, 30_000);
    const end = await ended(id);

    expect(totalCount).toBe(count);
    expect(halfWay).toMatchObject({ status: 'running', deliveredCount: arrivedHalfWay });
    expect(arrivedHalfWay).toBeLessThan(count);
    expect(end).toMatchObject({ status: 'completed', releasedCount: count, deliveredCount: count, waitingCount: 0 });
    expect(receiver.arrivals).toHaveLength(count);
    expect(arrivalsPerEvent(receiver)).toBe(1);
  });

  test('24 bulk replay can be cancelled', { timeout: 30_000 }, async () => {
    const count = 100;
    const receiver = await startReceiver();
    const endpoint = await heldDeliveries(product, receiver, count);

    const { id } = await product.webhooks.replayDeliveries({ webhookId: endpoint.id, ratePerSecond: 20 });
    await receiver.arrived(10);
    const { status } = await product.webhooks.cancelReplay(id);
    // Waits for what was in flight.
    await product.stopWorkers();
    const sent = receiver.arrivals.length;
    await product.startWorkers();
    await endpoint.settled(await product.post());

    expect(status).toBe('cancelled');
    expect(sent).toBeLessThan(count);
    expect(receiver.arrivals).toHaveLength(sent + 1);
    const { items } = await product.webhooks.listUndelivered({ webhookId: endpoint.id, limit: 200 });
    expect(items).toHaveLength(count - sent);
  });

  test('24 bulk replay respects the rate limit of its endpoint', { timeout: 30_000 }, async () => {
    const [count, rate] = [60, 20];
    const receiver = await startReceiver();
    const endpoint = await heldDeliveries(product, receiver, count, rate);
    const standstillMs = measureStandstill();

    const { id } = await product.webhooks.replayDeliveries({ webhookId: endpoint.id });
    await receiver.arrived(count, 20_000);

    expect(await ended(id)).toMatchObject({ deliveredCount: count, failedCount: 0 });
    const times = receiver.arrivals.map(({ atMs }) => atMs);
    expect(mostWithin(1_000, times)).toBeLessThanOrEqual(rate * (1.1 + (2 * standstillMs()) / 1_000) + 1);
    expect(arrivalsPerEvent(receiver)).toBe(1);
  });

  test('24 bulk replay respects its own rate', { timeout: 30_000 }, async () => {
    const [count, ratePerSecond] = [60, 20];
    const receiver = await startReceiver();
    const endpoint = await heldDeliveries(product, receiver, count);
    const standstillMs = measureStandstill();

    const { id } = await product.webhooks.replayDeliveries({ webhookId: endpoint.id, ratePerSecond });
    await receiver.arrived(count, 20_000);

    expect(await ended(id)).toMatchObject({ deliveredCount: count });
    const times = receiver.arrivals.map(({ atMs }) => atMs);
    expect(mostWithin(1_000, times)).toBeLessThanOrEqual(ratePerSecond * (1.1 + (2 * standstillMs()) / 1_000) + 1);
  });

  test('24 what fails again stays as it was, and can be replayed once more', async () => {
    let isHealthy = false;
    const receiver = await startReceiver((response) => response.writeHead(isHealthy ? 200 : 500).end());
    const endpoint = await product.endpoint(receiver.url, { retryPolicy: { max_attempts: 1 } });
    const eventId = await product.post();
    await endpoint.settled(eventId);
    const request = { webhookId: endpoint.id, status: 'exhausted' } as const;

    const inVain = await product.webhooks.replayDeliveries(request);
    expect(await ended(inVain.id)).toMatchObject({ deliveredCount: 0, failedCount: 1 });
    expect(await endpoint.delivery(eventId)).toMatchObject({ status: 'exhausted', attemptsCount: 2 });
    isHealthy = true;
    const again = await product.webhooks.replayDeliveries(request);

    expect(await ended(again.id)).toMatchObject({ deliveredCount: 1, failedCount: 0 });
    expect(await endpoint.delivery(eventId)).toMatchObject({ status: 'delivered', attemptsCount: 3 });
    expect(receiver.arrivals).toHaveLength(3);
  });
});
