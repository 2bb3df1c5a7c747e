import { type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type RawBuilder, sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { defaultBreaker } from '../../src/deliver/breaker.ts';
import { DeliveryWorker } from '../../src/deliver/DeliveryWorker.ts';
import { createEndpointPreparer } from '../../src/deliver/endpointPreparer.ts';
import { createSender, type Sender } from '../../src/deliver/send.ts';
import { createEndpointSecretKey } from '../../src/deliver/sign.ts';
import { claimDueDeliveries } from '../../src/deliver/store/claimDueDeliveries.ts';
import { settleDeliveries } from '../../src/deliver/store/settleDeliveries.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { httpServer } from '../support/localServers.ts';
import { buyEvent } from '../support/moonpay.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const secret = `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`;
const key = createEndpointSecretKey('secret', secret);
const clientCertificates = { find: async () => undefined };
const endpointSecrets = { keysOf: async () => [{ key, untilMs: Number.POSITIVE_INFINITY }] };

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A receiver that keeps what came, and answers as told. */
async function receiver(answer: (count: number, response: ServerResponse) => void) {
  const received: Received[] = [];
  const server = await httpServer(async (request, response) => {
    received.push({ headers: request.headers, body: await buffer(request) });
    answer(received.length, response);
  });
  return { url: server.url, received };
}

const ok = (_: number, response: ServerResponse): void => void response.end('thanks');

forEachDatabase('delivering', (open, kind) => {
  let database: TestDatabase;
  let signals: Observed;
  let sender: Sender;
  let workers: DeliveryWorker[];

  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    signals = observed();
    await database.runScript('delete from moonpay_webhook_events; delete from moonpay_webhook_config;');
    sender = createSender({ allowLoopback: () => true });
    workers = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await sender.close();
  });

  const startWorker = async (leaseMs?: number, concurrency = 8): Promise<DeliveryWorker> => {
    const worker = new DeliveryWorker({
      database,
      runtime: systemRuntime,
      observe: signals.observe,
      sender,
      prepareEndpoint: createEndpointPreparer({
        database,
        observe: signals.observe,
        endpointSecrets,
        clientCertificates,
      }),
      breaker: defaultBreaker,
      concurrency,
      ...(leaseMs !== undefined && { leaseMs }),
    });
    workers.push(worker);
    await worker.start();
    return worker;
  };

  const addEndpoint = async (url: string, changes?: RawBuilder<unknown>): Promise<string> => {
    const { rows } = await sql<{ id: string }>`
      insert into moonpay_webhook_config (url, environment, events, retry_policy)
      values (${url}, 'sandbox', array['*'], '{"initial_delay_ms": 5, "max_delay_ms": 10, "max_attempts": 4}') returning id
    `.execute(database.db);
    const id = rows[0]?.id ?? '';
    if (changes !== undefined)
      await sql`update moonpay_webhook_config set ${changes} where id = ${id}`.execute(database.db);
    return id;
  };

  const store = async (...bodies: string[]): Promise<string[]> => {
    const events = bodies.map((body) => {
      const rawBody = Buffer.from(body);
      const parsed = parseEvent(rawBody, 'sandbox');
      return { id: systemRuntime.newId(), environment: 'sandbox' as const, rawBody, signature: 't=1,s=0', parsed };
    });
    const stored = await database.transaction((transaction) => storeEvents(transaction, events));
    return stored.map(({ id }) => id);
  };

  const rowsOf = async <Row>(query: RawBuilder<Row>): Promise<Row[]> => (await query.execute(database.db)).rows;
  const deliveries = () => rowsOf(sql<Record<string, unknown>>`select * from moonguard.deliveries order by id`);
  const attempts = () =>
    rowsOf(
      sql<Record<string, unknown>>`select * from moonguard.delivery_attempts order by attempt_number, delivery_id`,
    );
  const endpoint = async (id: string) =>
    (await rowsOf(sql<Record<string, unknown>>`select * from moonpay_webhook_config where id = ${id}`))[0];

  test('a delivery arrives once, byte for byte, and is recorded with its attempt and the counters', async () => {
    const { url, received } = await receiver(ok);
    const endpointId = await addEndpoint(url);
    const body = buyEvent({ quoteCurrencyAmount: 'AMOUNT' }).replace('"AMOUNT"', '0.10');
    await startWorker();
    const [eventId] = await store(body);
    await signals.next((o) => o.type === 'delivery.delivered');

    expect(received).toHaveLength(1);
    expect(received[0]?.body.toString()).toBe(body);
    expect(received[0]?.headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': `evt_${eventId}` });
    expect(await deliveries()).toMatchObject([
      {
        status: 'delivered',
        attempts_count: 1,
        lease_token: null,
        last_response_status: 200,
        settled_at: expect.any(Date),
      },
    ]);
    expect(await attempts()).toMatchObject([
      { attempt_number: 1, outcome: 'delivered', response_status: 200, error_class: null, endpoint_id: endpointId },
    ]);
    expect(await endpoint(endpointId)).toMatchObject({
      delivery_attempts_count: 1,
      successful_deliveries_count: 1,
      failed_deliveries_count: 0,
      consecutive_failures_count: 0,
      last_successful_delivery: expect.any(Date),
    });
  });

  test('a failure is tried again with the same id and bytes, a fresh time and a signature that fits it', async () => {
    const { url, received } = await receiver((count, response) => void response.writeHead(count < 3 ? 500 : 200).end());
    const endpointId = await addEndpoint(url);
    await startWorker();
    await store(buyEvent({}));
    await signals.next((o) => o.type === 'delivery.delivered');

    expect(received).toHaveLength(3);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    for (const { headers, body } of received) {
      const text = body.toString();
      expect(text).toBe(buyEvent({}));
      new Webhook(secret).verify(text, headers as Record<string, string>);
    }
    expect(await attempts()).toMatchObject([
      { attempt_number: 1, outcome: 'retry', error_class: 'http_5xx' },
      { attempt_number: 2, outcome: 'retry', error_class: 'http_5xx' },
      { attempt_number: 3, outcome: 'delivered' },
    ]);
    expect(await endpoint(endpointId)).toMatchObject({
      delivery_attempts_count: 3,
      successful_deliveries_count: 1,
      failed_deliveries_count: 2,
      consecutive_failures_count: 0,
      last_failure_reason: 'HTTP 500',
    });
  });

  test('after the last attempt the delivery is exhausted and nothing more is sent', async () => {
    const { url, received } = await receiver((_, response) => void response.writeHead(503).end('busy'));
    const endpointId = await addEndpoint(url);
    await startWorker();
    await store(buyEvent({}));
    await signals.next((o) => o.type === 'delivery.exhausted');
    expect(received).toHaveLength(4);
    expect(await deliveries()).toMatchObject([
      { status: 'exhausted', attempts_count: 4, settled_at: expect.any(Date) },
    ]);
    expect(await endpoint(endpointId)).toMatchObject({ consecutive_failures_count: 4, status: 'active' });
    const [last] = (await attempts()).slice(-1);
    expect(Buffer.from(last?.['response_body'] as Uint8Array).toString()).toBe('busy');
  });

  test('410: the endpoint has failed, this delivery and those that wait are held', async () => {
    const { url, received } = await receiver((_, response) => void response.writeHead(410).end());
    const endpointId = await addEndpoint(url);
    await store(buyEvent({ id: 'a' }));
    await sql`update moonguard.deliveries set next_attempt_at = now() + interval '1 hour'`.execute(database.db);
    await startWorker();
    await store(buyEvent({ id: 'b' }));
    await signals.next((o) => o.type === 'delivery.held');
    await store(buyEvent({ id: 'c' }));

    expect(received).toHaveLength(1);
    expect(await endpoint(endpointId)).toMatchObject({
      status: 'failed',
      is_active: false,
      status_reason: 'the receiver answered 410 Gone',
    });
    expect((await deliveries()).map(({ status }) => status)).toEqual(['held', 'held', 'held']);
  });

  test('an envelope names the event and keeps the digits of the data', async () => {
    const { url, received } = await receiver(ok);
    await addEndpoint(url, sql`delivery_settings = '{"payload": "envelope"}'`);
    await startWorker();
    const [eventId] = await store(
      buyEvent({ quoteCurrencyAmount: 'AMOUNT' }).replace('"AMOUNT"', '0.123456789012345678'),
    );
    await signals.next((o) => o.type === 'delivery.delivered');
    const text = received[0]?.body.toString() ?? '';
    expect(JSON.parse(text)).toMatchObject({
      id: `evt_${eventId}`,
      type: 'transaction.updated',
      environment: 'sandbox',
      occurred_at: '2026-11-01T10:00:01.000Z',
      provider_type: 'transaction_updated',
      data: { status: 'pending' },
    });
    expect(text).toContain('0.123456789012345678');
  });

  test('custom headers go along, a name of its own in the place of ours', async () => {
    const { url, requests } = await httpServer((_, response) => response.end());
    await addEndpoint(url, sql`headers = '{"Authorization": "Bearer x", "User-Agent": "Shop"}'`);
    await startWorker();
    await store(buyEvent({}));
    await signals.next((o) => o.type === 'delivery.delivered');
    expect(requests[0]?.headersDistinct).toMatchObject({ authorization: ['Bearer x'], 'user-agent': ['Shop'] });
  });

  test('a private address is refused at the connection, and so recorded', async () => {
    await addEndpoint('http://127.0.0.1:9/hook', sql`retry_policy = '{"max_attempts": 1}'`);
    await sender.close();
    sender = createSender({ allowLoopback: () => false });
    await startWorker();
    await store(buyEvent({}));
    expect(await signals.next((o) => o.type === 'delivery.exhausted')).toMatchObject({
      errorClass: 'destination_refused',
    });
  });

  test('a result whose lease has passed on changes nothing', async () => {
    await addEndpoint('https://example.com/');
    await store(buyEvent({}));
    const lost = systemRuntime.newId();
    const claim = { limit: 10, defaultRoom: 10, rooms: {}, leaseMs: 10_000, probeMs: 1_000 };
    const [lane] = await claimDueDeliveries(database.db, { ...claim, leaseToken: lost });
    const later = new Date(systemRuntime.now() + 60_000);
    const current = systemRuntime.newId();
    expect(await claimDueDeliveries(database.db, { ...claim, leaseToken: current })).toEqual([]);
    expect(await claimDueDeliveries(database.db, { ...claim, leaseToken: current, now: later })).toHaveLength(1);

    const result = {
      deliveryId: lane?.deliveries[0]?.id ?? '',
      endpointId: lane?.endpoint.id ?? '',
      isOrdered: false,
      outcome: 'delivered' as const,
      retryInMs: undefined,
      startedAtMs: systemRuntime.now(),
      durationMs: 5,
      responseStatus: 200,
      responseBody: undefined,
      errorClass: undefined,
      errorMessage: undefined,
      disablesEndpoint: false,
    };
    const settle = async (leaseToken: string) =>
      (await settleDeliveries(database.db, [{ ...result, leaseToken }], defaultBreaker)).lost;
    expect(await settle(lost)).toEqual(new Set([result.deliveryId]));
    expect(await attempts()).toEqual([]);
    expect(await deliveries()).toMatchObject([{ status: 'pending', lease_token: current, attempts_count: 0 }]);
    expect(await settle(current)).toEqual(new Set());
    expect(await deliveries()).toMatchObject([{ status: 'delivered', lease_token: null, attempts_count: 1 }]);
  });

  test('of large bodies a claim brings as many as it can hold, and leaves the others to the next one', async () => {
    await addEndpoint('https://example.com/');
    const large = 'x'.repeat(1_000_000);
    await store(...Array.from({ length: 20 }, (_, place) => buyEvent({ id: `large-${place}`, large })));
    const claim = { limit: 1_000, defaultRoom: 1_000, rooms: {}, leaseMs: 10_000, probeMs: 1_000 };
    const sizes: number[] = [];
    for (let claims = 0; claims < 2; claims++) {
      const [lane] = await claimDueDeliveries(database.db, { ...claim, leaseToken: systemRuntime.newId() });
      sizes.push(lane?.deliveries.length ?? 0);
      for (const { event } of lane?.deliveries ?? []) expect(event.rawBody.byteLength).toBeGreaterThan(1_000_000);
      expect(lane?.hasMore).toBe(claims === 0);
    }
    expect(sizes).toEqual([17, 3]);
  });

  test('what a dead worker had leased is delivered when its lease ends', async () => {
    const { url, received } = await receiver(ok);
    await addEndpoint(url, sql`delivery_settings = '{"timeout_ms": 100}'`);
    await store(buyEvent({}));
    const claim = { limit: 10, defaultRoom: 10, rooms: {}, probeMs: 1_000 };
    await claimDueDeliveries(database.db, { ...claim, leaseMs: 400, leaseToken: systemRuntime.newId() });
    await startWorker();
    await signals.next((o) => o.type === 'delivery.delivered');
    expect(received).toHaveLength(1);
    expect(await deliveries()).toMatchObject([{ status: 'delivered', attempts_count: 1 }]);
  });

  test('an endpoint that is switched off gets nothing: what waits is held', async () => {
    const endpointId = await addEndpoint('https://example.com/');
    await store(buyEvent({ id: 'a' }));
    await sql`update moonpay_webhook_config set is_active = false where id = ${endpointId}`.execute(database.db);
    await store(buyEvent({ id: 'b' }));
    expect((await deliveries()).map(({ status }) => status)).toEqual(['held', 'held']);
  });

  test('a delivery that was made while its endpoint was being stopped is held, not sent', async () => {
    const { url, received } = await receiver(ok);
    const endpointId = await addEndpoint(url, sql`status = 'inactive'`);
    await store(buyEvent({}));
    await sql`update moonguard.deliveries set status = 'pending' where endpoint_id = ${endpointId}`.execute(
      database.db,
    );
    const worker = await startWorker();
    await worker.stop();
    expect(received).toEqual([]);
    expect(await deliveries()).toMatchObject([{ status: 'held', lease_token: null, attempts_count: 0 }]);
  });

  test('stopping gives back what was not begun, for other workers to take at once', async () => {
    const arrived = Promise.withResolvers<ServerResponse>();
    const { url, received } = await receiver((count, response) =>
      count === 1 ? arrived.resolve(response) : void response.end(),
    );
    await addEndpoint(url);
    const worker = await startWorker(undefined, 1);
    await store(buyEvent({ id: 'a' }), buyEvent({ id: 'b' }));
    const response = await arrived.promise;
    const stopped = worker.stop();
    response.end();
    await stopped;
    expect(received).toHaveLength(1);
    expect(await deliveries()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ status: 'delivered', lease_token: null }),
        expect.objectContaining({ status: 'pending', lease_token: null }),
      ]),
    );
    await startWorker();
    await signals.next((o) => o.type === 'delivery.delivered');
    await signals.next((o) => o.type === 'delivery.delivered');
    expect(received).toHaveLength(2);
  });

  test('a request in flight while its endpoint is stopped still counts', async () => {
    const arrived = Promise.withResolvers<ServerResponse>();
    const { url } = await receiver((_, response) => arrived.resolve(response));
    const endpointId = await addEndpoint(url);
    await startWorker();
    await store(buyEvent({}));
    const response = await arrived.promise;
    await sql`update moonpay_webhook_config set status = 'inactive' where id = ${endpointId}`.execute(database.db);
    response.end();
    await signals.next((o) => o.type === 'delivery.delivered');
    expect(await deliveries()).toMatchObject([{ status: 'delivered', attempts_count: 1 }]);
    expect(await attempts()).toHaveLength(1);
  });

  test('stopping waits for the request in flight and writes its result', async () => {
    const arrived = Promise.withResolvers<ServerResponse>();
    const { url } = await receiver((_, response) => arrived.resolve(response));
    await addEndpoint(url);
    const worker = await startWorker();
    await store(buyEvent({}));
    const response = await arrived.promise;
    const stopped = worker.stop();
    response.end();
    await stopped;
    expect(await deliveries()).toMatchObject([{ status: 'delivered' }]);
  });

  if (kind === 'postgres')
    test('two workers share the work: nothing is left out, nothing done twice', async () => {
      const { url, received } = await receiver(ok);
      await addEndpoint(url);
      await addEndpoint(`${url}/second`);
      await startWorker();
      await startWorker();
      const ids = Array.from({ length: 150 }, (_, index) => `transaction-${index}`);
      await store(...ids.map((id) => buyEvent({ id })));
      for (let delivered = 0; delivered < 300; delivered++) await signals.next((o) => o.type === 'delivery.delivered');
      expect(received).toHaveLength(300);
      expect(new Set(received.map(({ body }) => body.toString())).size).toBe(150);
      expect(await attempts()).toHaveLength(300);
    });
});
