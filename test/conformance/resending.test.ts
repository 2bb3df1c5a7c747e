import { expect, test } from 'vitest';
import { conformance } from './product.ts';
import { answering, startReceiver } from './receiver.ts';

const inAnHour = { initial_delay_ms: 3_600_000, max_delay_ms: 3_600_000 };

conformance('sending again', (product) => {
  test.each(['inactive', 'failed'] as const)(
    '14 events for an endpoint that is %s are `held`, listed as undelivered, and can be replayed after it is active again',
    async (status) => {
      let isGone = status === 'failed';
      const receiver = await startReceiver((response) => response.writeHead(isGone ? 410 : 200).end());
      const endpoint = await product.endpoint(receiver.url);
      const eventIds: string[] = [];
      if (status === 'inactive') await product.webhooks.suspendWebhook(endpoint.id, 'maintenance');
      else eventIds.push((await endpoint.settled(await product.post())).eventId);
      const sentBefore = receiver.arrivals.length;
      eventIds.push(...(await product.postMany(3)));

      expect(await endpoint.read()).toMatchObject({ status, isActive: false });
      const { items } = await product.webhooks.listUndelivered({ webhookId: endpoint.id });
      expect(items.map(({ eventId }) => eventId).toSorted()).toEqual(eventIds.toSorted());
      expect(items.map((delivery) => delivery.status)).toEqual(items.map(() => 'held'));
      expect(receiver.arrivals).toHaveLength(sentBefore);

      isGone = false;
      await product.webhooks.resumeWebhook(endpoint.id);
      expect(await endpoint.delivery(eventIds[0] ?? '')).toMatchObject({ status: 'held' });
      await product.webhooks.replayDeliveries({ webhookId: endpoint.id });
      await receiver.arrived(sentBefore + eventIds.length);
      for (const eventId of eventIds) {
        expect(await endpoint.after(eventId, 'delivery.delivered')).toMatchObject({ status: 'delivered' });
      }
      expect(await product.webhooks.listUndelivered({ webhookId: endpoint.id })).toMatchObject({ items: [] });
      expect(receiver.arrivals).toHaveLength(sentBefore + eventIds.length);
    },
  );

  test('15 a failed manual resend leaves the scheduled retries as they were', async () => {
    const receiver = await startReceiver(answering(500));
    const endpoint = await product.endpoint(receiver.url, {
      retryPolicy: { max_attempts: 2, initial_delay_ms: 1_500, max_delay_ms: 1_500 },
    });
    const eventId = await product.post();
    await endpoint.failed(eventId);
    const before = await endpoint.delivery(eventId);

    await product.webhooks.retryDelivery(before.id);
    await endpoint.after(eventId, 'delivery.resend_failed');

    expect(await endpoint.delivery(eventId)).toMatchObject({ status: 'pending', nextAttemptAt: before.nextAttemptAt });
    const { status, attempts } = await endpoint.settled(eventId);
    expect(status).toBe('exhausted');
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['retry', 'resend_failed', 'exhausted']);
    const [first, resent, scheduled] = receiver.arrivals.map(({ atMs }) => atMs);
    expect((resent ?? 0) - (first ?? 0)).toBeLessThan(1_500);
    expect((scheduled ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(1_500);
    expect(receiver.arrivals).toHaveLength(3);
  });

  test('15 a failed manual resend of a delivery that was exhausted leaves it exhausted', async () => {
    const receiver = await startReceiver(answering(500));
    const endpoint = await product.endpoint(receiver.url);
    const eventId = await product.post();
    const before = await endpoint.settled(eventId);

    await product.webhooks.retryDelivery(before.id);
    await endpoint.after(eventId, 'delivery.resend_failed');

    const after = await endpoint.delivery(eventId);
    expect(after).toMatchObject({ status: 'exhausted', settledAt: before.settledAt, attemptsCount: 4 });
    expect(receiver.arrivals).toHaveLength(4);
  });

  test.each([
    ['waits for its next attempt', inAnHour, answering(500, 200), 'delivery.failed'],
    ['is exhausted', { max_attempts: 1 }, answering(500, 200), 'delivery.exhausted'],
    ['was delivered', {}, answering(200), 'delivery.delivered'],
  ] as const)('15 a successful manual resend settles a delivery that %s', async (_, retryPolicy, script, before) => {
    const receiver = await startReceiver(script);
    const endpoint = await product.endpoint(receiver.url, { retryPolicy });
    const eventId = await product.post();
    const { id } = await endpoint.after(eventId, before);

    await product.webhooks.retryDelivery(id);

    expect(await endpoint.after(eventId, 'delivery.delivered')).toMatchObject({
      status: 'delivered',
      nextAttemptAt: null,
      attemptsCount: 2,
    });
    expect(receiver.arrivals).toHaveLength(2);
  });
});
