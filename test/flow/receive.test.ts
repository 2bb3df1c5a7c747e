import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import type { Receiver } from '../../src/receive/Receiver.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { buyEvent, examplePayloads, signatureOf, webhookRequest } from '../support/moonpay.ts';
import { receiverOn } from '../support/receivers.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const url = 'http://localhost/webhooks/moonpay/sandbox';

interface Answer {
  readonly event_id: string;
  readonly duplicate: boolean;
}

async function addEndpoint(database: Database, path: string, changes = sql``): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    insert into moonpay_webhook_config (url, environment, events) values (${`https://example.com/${path}`}, 'sandbox', array['*'])
    returning id
  `.execute(database.db);
  const id = rows[0]?.id ?? '';
  if (changes.toOperationNode().sqlFragments.join('') !== '') {
    await sql`update moonpay_webhook_config set ${changes} where id = ${id}`.execute(database.db);
  }
  return id;
}

async function storedEvents(database: Database) {
  const { rows } = await sql<{
    id: string;
    event_type: string;
    event_name: string;
    event_data: unknown;
    raw_body: Uint8Array;
    is_late: boolean;
    is_handled: boolean;
    last_processing_error: string | null;
  }>`select * from moonpay_webhook_events order by sequence`.execute(database.db);
  return rows;
}

async function count(database: Database, table: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(table)}`.execute(database.db);
  return rows[0]?.n ?? -1;
}

forEachDatabase('receiving', (open) => {
  let database: TestDatabase;
  let signals: Observed;
  let receiver: Receiver;

  beforeAll(async () => {
    database = await open();
  });
  beforeEach(async () => {
    signals = observed();
    receiver = receiverOn(database, { observe: signals.observe });
    await database.runScript(`
      delete from moonpay_webhook_events; delete from moonpay_webhook_config;
      delete from moonpay_transactions; delete from moonpay_customers;`);
  });
  afterAll(() => database.close());

  const post = (body: Uint8Array | string, options?: Parameters<typeof webhookRequest>[2]) =>
    receiver.handle(webhookRequest(url, body, options), 'sandbox');

  testWithShared('every example payload is stored once, with the bytes that were signed', async () => {
    for (const { body, file } of examplePayloads()) {
      const response = await post(body);
      expect(response.status, file).toBe(200);
      const answer = (await response.json()) as Answer;
      expect(answer).toEqual({ received: true, event_id: expect.any(String), duplicate: false });

      const again = await post(body);
      expect(await again.json(), file).toEqual({ ...answer, duplicate: true });
    }
    const stored = await storedEvents(database);
    expect(stored.map(({ raw_body }) => Buffer.from(raw_body))).toEqual(examplePayloads().map(({ body }) => body));
    expect(stored.map(({ last_processing_error }) => last_processing_error)).toEqual(stored.map(() => null));
  });

  test('an event makes one delivery for each endpoint that subscribes to it in its environment', async () => {
    const all = await addEndpoint(database, 'all');
    const completed = await addEndpoint(
      database,
      'completed',
      sql`events = array['transaction.completed', 'transaction.failed']`,
    );
    const wildcard = await addEndpoint(database, 'wildcard', sql`events = array['transaction.*']`);
    await addEndpoint(database, 'sell', sql`events = array['sell_transaction.*']`);
    await addEndpoint(database, 'production', sql`environment = 'production'`);
    await addEndpoint(database, 'deleted', sql`deleted_at = now()`);
    const inactive = await addEndpoint(database, 'inactive', sql`status = 'inactive'`);

    await post(buyEvent({ status: 'completed' }));

    const { rows } = await sql<{ endpoint_id: string; status: string }>`
      select endpoint_id, status from moonguard.deliveries`.execute(database.db);
    expect(Object.fromEntries(rows.map(({ endpoint_id, status }) => [endpoint_id, status]))).toEqual({
      [all]: 'pending',
      [completed]: 'pending',
      [wildcard]: 'pending',
      [inactive]: 'held',
    });
  });

  test('batches that hold the same events in another order do not wait for each other', async () => {
    const batch = Array.from({ length: 100 }, (_, index) => {
      const rawBody = Buffer.from(buyEvent({ id: `crossing-${index}` }));
      return { environment: 'sandbox' as const, rawBody, signature: '', parsed: parseEvent(rawBody, 'sandbox') };
    });
    const storeInOrder = (events: typeof batch) =>
      database.transaction((transaction) =>
        storeEvents(
          transaction,
          events.map((event) => ({ ...event, id: systemRuntime.newId() })),
        ),
      );
    const orders = [batch, batch.toReversed(), batch, batch.toReversed()];
    const stored = await Promise.all(orders.map(storeInOrder));
    expect(stored.flat().filter(({ duplicate }) => !duplicate)).toHaveLength(100);
    expect(await count(database, 'moonpay_webhook_events')).toBe(100);
  });

  test('a duplicate with other bytes is reported, for its key should have told the two apart', async () => {
    await post(buyEvent({ note: 'first' }));
    await post(buyEvent({ note: 'second' }));
    const report = await signals.next((o) => o.type === 'event.duplicate');
    expect(report).toMatchObject({ bodyDiffers: true });
  });

  describe('the state of a transaction moves only forward', () => {
    const state = async () => {
      const { rows } = await sql<Record<string, unknown>>`select * from moonpay_transactions`.execute(database.db);
      return rows;
    };

    test('amounts keep the digits that came', async () => {
      const body = buyEvent({ quoteCurrencyAmount: 'AMOUNT' }).replace('"AMOUNT"', '0.123456789012345678');
      await post(body);
      expect(await state()).toMatchObject([
        {
          type: 'buy',
          crypto_amount: '0.123456789012345678',
          fiat_amount: '50',
          crypto_currency: 'eth',
          fiat_currency: 'eur',
        },
      ]);
    });

    test('several events of one transaction in one batch are taken in the order of their arrival', async () => {
      const events = ['waitingPayment', 'pending', 'completed', 'pending'].map((status, second) => {
        const rawBody = Buffer.from(buyEvent({ status, updatedAt: `2026-11-01T10:00:0${second}.000Z` }));
        return {
          id: systemRuntime.newId(),
          environment: 'sandbox' as const,
          rawBody,
          signature: '',
          parsed: parseEvent(rawBody, 'sandbox'),
        };
      });
      const stored = await database.transaction((transaction) => storeEvents(transaction, events));
      expect(stored.map(({ late }) => late)).toEqual([false, false, false, true]);
      expect(await state()).toMatchObject([{ status: 'completed' }]);
    });

    test('an identity check sets the KYC state of the customer; an older one does not set it back', async () => {
      const check = (result: string | null, updatedAt: string) =>
        JSON.stringify({
          type: 'identity_check_updated',
          data: {
            id: 'k',
            customerId: 'cust',
            status: result === null ? 'pending' : 'completed',
            result,
            updatedAt,
            level: 2,
          },
          externalCustomerId: 'mine',
        });
      await post(check('rejected', '2026-11-01T10:00:02.000Z'));
      await post(check(null, '2026-11-01T10:00:01.000Z'));
      const { rows } = await sql`select * from moonpay_customers`.execute(database.db);
      expect(rows).toMatchObject([
        {
          moonpay_customer_id: 'cust',
          external_customer_id: 'mine',
          identity_verification_status: 'failed',
          kyc_result: 'rejected',
        },
      ]);
    });
  });

  describe('refuses', () => {
    const body = buyEvent({});
    const send = (header: string | undefined, name = 'Moonpay-Signature-V2', sent = body) =>
      receiver.handle(
        new Request(url, { method: 'POST', body: sent, headers: header === undefined ? {} : { [name]: header } }),
        'sandbox',
      );

    test('a good signature under another header name', async () => {
      const good = signatureOf(Buffer.from(body));
      expect((await send(good, 'Moonpay-Signature')).status).toBe(401);
      expect((await send(good, 'X-Moonpay-Signature-V2')).status).toBe(401);
      expect((await send(good)).status).toBe(200);
    });

    test('everything while no key is configured: 503, so that MoonPay sends it again', async () => {
      receiver = receiverOn(database, { providerKeys: { current: async () => [] } });
      const response = await send(signatureOf(Buffer.from(body)));
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ error: { code: 'provider_key_missing' } });
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);
    });

    test('GET', async () => {
      const response = await receiver.handle(new Request(url), 'sandbox');
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('POST');
    });
  });
});
