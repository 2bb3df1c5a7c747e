import { createHmac } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import type { Receiver } from '../../src/receive/Receiver.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { buyEvent, examplePayloads, signatureOf, webhookKey, webhookRequest } from '../support/moonpay.ts';
import { keyOf, receiverOn } from '../support/receivers.ts';
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

  test('fifty copies at once are one event and one delivery for each endpoint', async () => {
    await addEndpoint(database, 'one');
    await addEndpoint(database, 'two');
    const body = buyEvent({});
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => (await (await post(body)).json()) as Answer),
    );

    expect(new Set(answers.map((answer) => JSON.stringify(answer.event_id))).size).toBe(1);
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(await count(database, 'moonpay_webhook_events')).toBe(1);
    expect(await count(database, 'moonguard.deliveries')).toBe(2);
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

  test('the signature is over the raw bytes: order, white space, escapes and duplicate keys survive', async () => {
    const body = '{ "data" : {"b":1.10, "a":"\\u00e9", "a":"é", "id": "x"},\n\t"type":"transaction_updated" }  ';
    expect((await post(body)).status).toBe(200);
    const [stored] = await storedEvents(database);
    expect(Buffer.from(stored?.raw_body ?? []).toString()).toBe(body);
  });

  test.each([
    ['an unknown type', '{"type":"loyalty_points_granted","data":{"id":"1"}}', 'moonpay.loyalty_points_granted'],
    ['no data.id', '{"type":"transaction_updated","data":{"status":"pending"}}', 'transaction.updated'],
    [
      'an identity check without its envelope',
      '{"id":"1","customerId":"c","level":2,"result":"clear","status":"completed"}',
      'customer.kyc_completed',
    ],
    ['no JSON', 'hello', 'moonpay.unknown'],
    ['an empty body', '', 'moonpay.unknown'],
    ['an array', '[1,2]', 'moonpay.unknown'],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x00]), 'moonpay.unknown'],
    [
      'nesting of 10,000 levels',
      `{"type":"transaction_updated","data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
      'transaction.updated',
    ],
    ['half a surrogate pair', '{"type":"transaction_updated","data":{"id":"\\ud800"}}', 'transaction.updated'],
    ['a NUL', '{"type":"transaction_updated","data":{"id":"a\\u0000b"}}', 'transaction.updated'],
    [
      'a number beyond every bound',
      '{"type":"transaction_updated","data":{"id":"1","baseCurrencyAmount":1e400000}}',
      'transaction.updated',
    ],
    [
      '__proto__ keys',
      '{"type":"transaction_updated","__proto__":{"isAdmin":true},"data":{"id":"1","__proto__":{"status":"failed"}}}',
      'transaction.updated',
    ],
    [
      'a status nobody knows',
      '{"type":"transaction_updated","data":{"id":"1","status":"teleported"}}',
      'transaction.updated',
    ],
    [
      'ids and times of other types',
      '{"type":"transaction_updated","data":{"id":7,"status":["x"],"updatedAt":5,"customerId":{},"baseCurrencyAmount":"many"}}',
      'transaction.updated',
    ],
  ])('%s is stored, named as well as can be, and answered 200', async (_, body, name) => {
    const response = await post(body);
    expect(response.status).toBe(200);
    const stored = await storedEvents(database);
    expect(stored).toHaveLength(1);
    expect(stored[0]).toMatchObject({ event_name: name, last_processing_error: null });
    expect(Buffer.from(stored[0]?.raw_body ?? [])).toEqual(Buffer.from(body));
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined();
  });

  describe('the state of a transaction moves only forward', () => {
    const state = async () => {
      const { rows } = await sql<Record<string, unknown>>`select * from moonpay_transactions`.execute(database.db);
      return rows;
    };

    test('completed before pending: it stays completed, the late event is kept and marked, endpoints get both', async () => {
      await addEndpoint(database, 'all');
      await post(buyEvent({ status: 'completed', updatedAt: '2026-11-01T10:00:09.000Z' }));
      await post(buyEvent({ status: 'pending', updatedAt: '2026-11-01T10:00:05.000Z' }));

      expect(await state()).toMatchObject([{ status: 'completed', moonpay_status: 'completed' }]);
      const events = await storedEvents(database);
      expect(events.map(({ is_late }) => is_late)).toEqual([false, true]);
      expect(await count(database, 'moonguard.deliveries')).toBe(2);
      await signals.next((o) => o.type === 'event.late');
    });

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
    const now = Math.floor(systemRuntime.now() / 1000);
    const digest = (text: string, encoding: 'hex' | 'base64' = 'hex', key = webhookKey) =>
      createHmac('sha256', key).update(text).digest(encoding);
    const send = (header: string | undefined, name = 'Moonpay-Signature-V2', sent = body) =>
      receiver.handle(
        new Request(url, { method: 'POST', body: sent, headers: header === undefined ? {} : { [name]: header } }),
        'sandbox',
      );

    /** The mistakes that public integrations make, each as the header it lets through or sends. */
    test.each([
      ['no header', undefined, 'signature_missing'],
      [
        'an HMAC over re-serialised JSON',
        `t=${now},s=${digest(`${now}.${JSON.stringify(JSON.parse(body), null, 2)}`)}`,
        'signature_mismatch',
      ],
      ['an HMAC over the body without t.', `t=${now},s=${digest(body)}`, 'signature_mismatch'],
      ['base64 instead of hex', `t=${now},s=${digest(`${now}.${body}`, 'base64')}`, 'signature_malformed'],
      ['the whole header taken as the digest', digest(`${now}.${body}`), 'signature_malformed'],
      ['no t', `s=${digest(`${now}.${body}`)}`, 'signature_malformed'],
      ['no s', `t=${now}`, 'signature_malformed'],
      ['an empty digest', `t=${now},s=`, 'signature_malformed'],
      [
        'the secret key (sk_) used for the webhook key (wk_)',
        `t=${now},s=${digest(`${now}.${body}`, 'hex', webhookKey.replace('wk_', 'sk_'))}`,
        'signature_mismatch',
      ],
      ['milliseconds for seconds', `t=${now}000,s=${digest(`${now}000.${body}`)}`, 'timestamp_in_milliseconds'],
      [
        'a signature that is too old',
        `t=${now - 400},s=${digest(`${now - 400}.${body}`)}`,
        'timestamp_outside_tolerance',
      ],
      [
        'a signature from the future',
        `t=${now + 400},s=${digest(`${now + 400}.${body}`)}`,
        'timestamp_outside_tolerance',
      ],
      ['a digest that is upper-case', `t=${now},s=${digest(`${now}.${body}`).toUpperCase()}`, 'signature_malformed'],
      ['the widget scheme', `t=${now},s=${digest(`?${body}`, 'base64')}`, 'signature_malformed'],
    ])('%s', async (_, header, code) => {
      const response = await send(header);
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({
        error: { code, message: expect.any(String), action: expect.any(String) },
      });
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);
      expect(await signals.next((o) => o.type === 'event.refused')).toMatchObject({ code });
    });

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

    test('a body over the limit: 413, not a truncation', async () => {
      receiver = receiverOn(database, { maxBodyBytes: 1024 });
      const large = buyEvent({ padding: 'x'.repeat(1024) });
      expect((await post(large)).status).toBe(413);
      const chunked = new Request(url, {
        method: 'POST',
        duplex: 'half',
        body: new Blob([large]).stream(),
        headers: { 'Moonpay-Signature-V2': signatureOf(Buffer.from(large)) },
      });
      expect((await receiver.handle(chunked, 'sandbox')).status).toBe(413);
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);
    });

    test('GET', async () => {
      const response = await receiver.handle(new Request(url), 'sandbox');
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('POST');
    });
  });

  test('both keys are valid while one replaces the other', async () => {
    const keys = [keyOf('wk_test_old'), keyOf('wk_test_new')];
    receiver = receiverOn(database, { providerKeys: { current: async () => keys } });
    expect((await post(buyEvent({ id: 'a' }), { key: 'wk_test_old' })).status).toBe(200);
    expect((await post(buyEvent({ id: 'b' }), { key: 'wk_test_new' })).status).toBe(200);
    keys.shift();
    expect((await post(buyEvent({ id: 'c' }), { key: 'wk_test_old' })).status).toBe(401);
  });
});
