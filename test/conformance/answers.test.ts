import { expect, test } from 'vitest';
import { conformance } from './product.ts';
import { answering, startReceiver } from './receiver.ts';

const dayMs = 24 * 60 * 60 * 1000;

conformance('what a receiver answers', (product) => {
  test.each([200, 201, 202, 204])(
    '1 200, 201, 202 and 204 are delivered with exactly one request: %i',
    async (status) => {
      const receiver = await startReceiver(answering(status));
      const endpoint = await product.endpoint(receiver.url);

      const eventId = await product.post();
      const delivery = await endpoint.settled(eventId);
      // Whatever would still come of the first event is due before the second one.
      await endpoint.settled(await product.post());

      expect(delivery).toMatchObject({ status: 'delivered', lastResponseStatus: status, attemptsCount: 1 });
      expect(receiver.arrivalsOf(eventId)).toHaveLength(1);
      expect(receiver.arrivals).toHaveLength(2);
    },
  );

  test.each([301, 302, 307, 308])(
    '2 301, 302, 307 and 308 are a failure, and the Location gets zero requests: %i',
    async (status) => {
      const location = await startReceiver();
      const receiver = await startReceiver((response) => response.writeHead(status, { location: location.url }).end());
      const endpoint = await product.endpoint(receiver.url, { retryPolicy: { max_attempts: 2 } });

      const delivery = await endpoint.settled(await product.post());

      expect(delivery).toMatchObject({ status: 'exhausted', lastErrorClass: 'http_3xx', lastResponseStatus: status });
      expect(receiver.arrivals).toHaveLength(2);
      expect(location.connections.size).toBe(0);
    },
  );

  test.each([300, 301, 302, 303, 304, 307, 308])(
    '2 304, or a 3xx without Location, is a failure: %i',
    async (status) => {
      const receiver = await startReceiver(answering(status));
      const endpoint = await product.endpoint(receiver.url, { retryPolicy: { max_attempts: 2 } });

      const delivery = await endpoint.settled(await product.post());

      expect(delivery).toMatchObject({ status: 'exhausted', lastErrorClass: 'http_3xx', lastResponseStatus: status });
      expect(receiver.arrivals).toHaveLength(2);
    },
  );

  test.each([
    [400, 'http_4xx'],
    [404, 'http_4xx'],
    [500, 'http_5xx'],
  ])('3 400, 404 and 500 are a failure, and are retried: %i', async (status, errorClass) => {
    const receiver = await startReceiver(answering(status, 200));
    const endpoint = await product.endpoint(receiver.url);

    const { status: end, attempts } = await endpoint.settled(await product.post());

    expect(end).toBe('delivered');
    expect(attempts).toMatchObject([
      { outcome: 'retry', responseStatus: status, errorClass },
      { outcome: 'delivered', responseStatus: 200, errorClass: null },
    ]);
    expect(receiver.arrivals).toHaveLength(2);
    expect(await endpoint.read()).toMatchObject({ failedDeliveriesCount: 1, successfulDeliveriesCount: 1 });
  });

  test('3 410 disables the endpoint: status failed, reason kept, no further request', async () => {
    const receiver = await startReceiver(answering(410));
    const endpoint = await product.endpoint(receiver.url);

    const gone = await endpoint.settled(await product.post());
    const later = await endpoint.delivery(await product.post());

    expect(await endpoint.read()).toMatchObject({
      status: 'failed',
      isActive: false,
      statusReason: 'the receiver answered 410 Gone',
    });
    expect(gone).toMatchObject({ status: 'held', lastErrorClass: 'http_410', attemptsCount: 1 });
    expect(later).toMatchObject({ status: 'held', attemptsCount: 0 });
    expect(receiver.arrivals).toHaveLength(1);
  });

  test('4 429 or 503 with `Retry-After: 7`, also as an HTTP date: the next attempt comes no sooner than 7 s', {
    timeout: 30_000,
  }, async () => {
    const inSevenSeconds = () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 7_000).toUTCString();
    const cases = [429, 503].flatMap((status) => [
      { status, retryAfter: () => '7' },
      { status, retryAfter: inSevenSeconds },
    ]);
    const receivers = cases.map(async ({ status, retryAfter }) => {
      const { promise: answeredAtMs, resolve: answered } = Promise.withResolvers<number>();
      const receiver = await startReceiver((response, { attempt }) => {
        response.writeHead(attempt === 1 ? status : 200, { 'retry-after': retryAfter() }).end();
        answered(Date.now());
      });
      await product.endpoint(receiver.url);
      return async (): Promise<number> => {
        const [, second] = await receiver.arrived(2, 15_000);
        return (second?.atMs ?? 0) - (await answeredAtMs);
      };
    });
    const waits = await Promise.all(receivers);
    await product.post();

    for (const waitMs of waits) expect(await waitMs()).toBeGreaterThanOrEqual(7_000);
  });

  test('4 `Retry-After: 1000000000` is capped', async () => {
    const receiver = await startReceiver((response) => response.writeHead(503, { 'retry-after': '1000000000' }).end());
    const endpoint = await product.endpoint(receiver.url);

    expect(await endpoint.failed(await product.post())).toBe(dayMs);
  });

  test.each(['-7', 'abc', '', '1e3', '0x7', 'Sun, 06 Nov 1994 08:49:37 GMT', '9'.repeat(400), '\xff'])(
    '4 a `Retry-After` that is negative, past or no time at all is capped or ignored, never a crash: %j',
    async (retryAfter) => {
      const receiver = await startReceiver((response) => response.writeHead(429, { 'retry-after': retryAfter }).end());
      const endpoint = await product.endpoint(receiver.url);

      expect([10, dayMs]).toContain(await endpoint.failed(await product.post()));
    },
  );
});
