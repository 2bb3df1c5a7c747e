import { sql } from 'kysely';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { CreateWebhookInput } from '../../src/webhooks/endpointInput.ts';
import { startReceiver } from '../conformance/receiver.ts';
import { buyEvent, signatureOf, verifiesAsMoonpay, webhookKey } from '../support/moonpay.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** Of the event loop. */
const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

forEachDatabase('deliveries that the receiving process leases as they are stored', (open) => {
  let database: TestDatabase;
  let moonguard: Moonguard;
  const signals = observed();

  const startMoonguard = async (): Promise<Moonguard> => {
    const started = await createMoonguard({
      database,
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      webhookKeys: { sandbox: [webhookKey] },
      allowLoopbackDestinations: true,
      observe: signals.observe,
    });
    await started.start();
    return started;
  };

  beforeAll(async () => {
    database = await open();
    moonguard = await startMoonguard();
  });
  afterAll(async () => {
    await moonguard.stop();
    await database.close();
  });

  const endpoint = async (url: string, given: Partial<CreateWebhookInput> = {}) => {
    const input = { events: ['transaction.*'], environment: 'sandbox', ...given } as const;
    const created = await moonguard.webhooks.createWebhook({ ...input, url });
    onTestFinished(() => moonguard.webhooks.deleteWebhook(created.id));
    return created;
  };

  const receive = async (by: Moonguard = moonguard): Promise<string> => {
    const rawBody = Buffer.from(buyEvent({ id: systemRuntime.newId() }));
    const { id } = await by.webhooks.receive({ environment: 'sandbox', rawBody, signature: signatureOf(rawBody) });
    return id;
  };

  /** A claim is a transaction of its own, later than the one that stored the delivery. */
  const howLeased = async (eventId: string): Promise<'as stored' | 'by a claim' | undefined> => {
    const { rows } = await sql<{ leasedFor: number; offered: number }>`
      select extract(epoch from d.leased_until - d.created_at)::double precision * 1000 as "leasedFor",
        (c.delivery_settings ->> 'timeout_ms')::integer + 15000 as offered
      from moonguard.deliveries d join moonpay_webhook_config c on c.id = d.endpoint_id where d.event_id = ${eventId}
    `.execute(database.db);
    const [row] = rows;
    if (row === undefined) return undefined;
    return row.leasedFor === row.offered ? 'as stored' : 'by a claim';
  };

  /** A receiver that looks up, before it answers, how the delivery was leased. */
  const curiousReceiver = async () => {
    const leases: (string | undefined)[] = [];
    const receiver = await startReceiver(async (response, { eventId }) => {
      leases.push(await howLeased(eventId));
      response.end();
    });
    return { ...receiver, leases };
  };

  const settled = (outcome: 'delivered' | 'filtered') => signals.next((o) => o.type === `delivery.${outcome}`);

  test('the first one is claimed, those after it are not', async () => {
    const { url, leases, arrivals } = await curiousReceiver();
    await endpoint(url);
    const eventIds: string[] = [];
    for (let count = 0; count < 4; count++) {
      eventIds.push(await receive());
      await settled('delivered');
    }

    expect(leases).toEqual(['by a claim', 'as stored', 'as stored', 'as stored']);
    expect(arrivals.map(({ eventId }) => eventId)).toEqual(eventIds);
  });

  test.each<[string, Partial<CreateWebhookInput>]>([
    ['a filter', { filter: 'event.data.status == "pending"' }],
    ['envelopes', { deliverySettings: { payload: 'envelope' } }],
    ['ordering by entity', { deliverySettings: { ordering: 'entity' } }],
    ['a rate limit', { deliverySettings: { rateLimitPerSecond: 1000 } }],
  ])('with %s all are claimed', async (_, given) => {
    const { url, leases } = await curiousReceiver();
    await endpoint(url, given);
    for (let count = 0; count < 3; count++) {
      await receive();
      await settled('delivered');
    }

    expect(leases).toEqual(['by a claim', 'by a claim', 'by a claim']);
  });

  test('an endpoint that has changed since is claimed for again: its new address and its new secret count at once', async () => {
    const [before, after] = [await curiousReceiver(), await curiousReceiver()];
    const { id } = await endpoint(before.url);
    for (let count = 0; count < 2; count++) {
      await receive();
      await settled('delivered');
    }
    await moonguard.webhooks.updateWebhook(id, { url: after.url });
    await receive();
    await settled('delivered');
    const { secret } = await moonguard.webhooks.rotateSecret(id, { overlapSeconds: 0 });
    for (let count = 0; count < 2; count++) {
      await receive();
      await settled('delivered');
    }

    expect(before.leases).toEqual(['by a claim', 'as stored']);
    expect(after.leases).toEqual(['by a claim', 'by a claim', 'as stored']);
    const [, second, third] = after.arrivals.map(({ headers, body }) => verifiesAsMoonpay(headers, body, secret));
    expect([second, third]).toEqual([true, true]);
  });

  test('what is stored for an endpoint that has been stopped is held', async () => {
    const { url, leases } = await curiousReceiver();
    const { id } = await endpoint(url);
    await receive();
    await settled('delivered');
    await sql`update moonpay_webhook_config set status = 'inactive' where id = ${id}`.execute(database.db);
    const eventId = await receive();

    const { items } = await moonguard.webhooks.listDeliveries({ eventId });
    expect(items).toMatchObject([{ status: 'held' }]);
    expect(leases).toHaveLength(1);
  });

  test('a process that stops while an event is stored gives its delivery back', async () => {
    const { url, leases, arrivals } = await curiousReceiver();
    await endpoint(url);
    for (let count = 0; count < 2; count++) {
      await receive();
      await settled('delivered');
    }
    expect(leases).toEqual(['by a claim', 'as stored']);

    // What is to be stored waits for this transaction.
    const { receiving, stopping } = await database.transaction(async (transaction) => {
      await sql`lock table moonguard.deliveries in share mode`.execute(transaction);
      const begun = receive();
      // Its statement is on its way then: on the embedded database a turn later.
      await nextTurn();
      await nextTurn();
      return { receiving: begun, stopping: moonguard.stop() };
    });
    const [eventId] = await Promise.all([receiving, stopping]);
    moonguard = await startMoonguard();

    await settled('delivered');
    expect(leases[2]).toBe('by a claim');
    expect(arrivals.map((arrival) => arrival.eventId)).toContain(eventId);
  });
});
