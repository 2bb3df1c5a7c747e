import { createHmac } from 'node:crypto';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLogger, logObservations } from '../../src/observe/log.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { startProxy } from '../support/cuttableProxy.ts';
import { buyEvent, signatureOf, webhookKey } from '../support/moonpay.ts';
import { startReceiving } from '../support/receivingServer.ts';
import { withDeadline } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { conformance, newPurchase } from './product.ts';
import { startReceiver } from './receiver.ts';

const MOONPAY_WAITS_MS = 5_000;

interface StoredRow {
  readonly id: string;
  readonly event_name: string;
  readonly is_late: boolean;
  readonly raw_body: Uint8Array;
}

async function storedEvents({ db }: Pick<TestDatabase, 'db'>): Promise<StoredRow[]> {
  const { rows } = await sql<StoredRow>`select * from moonpay_webhook_events order by sequence`.execute(db);
  return rows;
}

async function count({ db }: TestDatabase, table: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(table)}`.execute(db);
  return rows[0]?.n ?? -1;
}

/** The answer, and whether MoonPay would still have been there for it. */
async function timed(
  answer: Promise<Response>,
): Promise<{ status: number; inTime: boolean; retryAfter: string | null }> {
  const begun = performance.now();
  const { status, headers } = await answer;
  return { status, inTime: performance.now() - begun < MOONPAY_WAITS_MS, retryAfter: headers.get('retry-after') };
}

const inVain = { status: 503, inTime: true, retryAfter: '1' };

forEachDatabase('receiving', (open, kind) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
  });
  beforeEach(() =>
    database.runScript(`delete from moonpay_webhook_events; delete from moonpay_webhook_config; delete from moonpay_customers;
      delete from moonpay_transactions; delete from moonguard.provider_keys`),
  );
  afterAll(() => database.close());

  describe('25 what is not signed by MoonPay: 401, a stable code, counted by reason, nothing stored', () => {
    const body = buyEvent({});
    const now = Math.floor(systemRuntime.now() / 1000);
    const digest = (text: string, encoding: 'hex' | 'base64' = 'hex', key = webhookKey) =>
      createHmac('sha256', key).update(text).digest(encoding);

    /** Also the mistakes that public integrations make, each as the header it lets through or sends. */
    test.each([
      ['no header', undefined, 'signature_missing'],
      ['no t', `s=${digest(`${now}.${body}`)}`, 'signature_malformed'],
      ['no s', `t=${now}`, 'signature_malformed'],
      ['an empty digest', `t=${now},s=`, 'signature_malformed'],
      ['a wrong digest', `t=${now},s=${digest(`${now}.${body} `)}`, 'signature_mismatch'],
      ['another key', `t=${now},s=${digest(`${now}.${body}`, 'hex', 'wk_test_another')}`, 'signature_mismatch'],
      [
        'the secret key (sk_) used for the webhook key (wk_)',
        `t=${now},s=${digest(`${now}.${body}`, 'hex', webhookKey.replace('wk_', 'sk_'))}`,
        'signature_mismatch',
      ],
      ['base64 instead of hex', `t=${now},s=${digest(`${now}.${body}`, 'base64')}`, 'signature_malformed'],
      ['a digest in capitals', `t=${now},s=${digest(`${now}.${body}`).toUpperCase()}`, 'signature_malformed'],
      ['milliseconds for seconds', `t=${now}000,s=${digest(`${now}000.${body}`)}`, 'timestamp_in_milliseconds'],
      [
        'an HMAC over JSON written anew',
        `t=${now},s=${digest(`${now}.${JSON.stringify(JSON.parse(body), null, 2)}`)}`,
        'signature_mismatch',
      ],
      ['an HMAC over the body without t.', `t=${now},s=${digest(body)}`, 'signature_mismatch'],
      ['the digest as the whole header', digest(`${now}.${body}`), 'signature_malformed'],
      ['the scheme of the widget', `t=${now},s=${digest(`?${body}`, 'base64')}`, 'signature_malformed'],
    ])('%s', async (_, header, code) => {
      const { postSigned, moonguard } = await startReceiving({ database });

      const response = await postSigned(body, header);

      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({
        error: { code, message: expect.any(String), action: expect.any(String) },
      });
      expect(moonguard.webhooks.rejections).toEqual({ sandbox: { [code]: 1 }, production: {} });
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);
    });

    test('the sender cannot fill the disk: 500 rejects are one line of the log and no row anywhere', async () => {
      const lines: string[] = [];
      const log = new Writable({
        write: (chunk: Buffer, _, done) => {
          lines.push(String(chunk));
          done();
        },
      });
      const { postSigned, moonguard } = await startReceiving(
        { database },
        { observe: logObservations(createLogger('debug', log)) },
      );
      const rows = async () => {
        const { rows: tables } = await sql<{ name: string }>`
          select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'moonguard')
          order by 1`.execute(database.db);
        const counts: [string, number][] = [];
        for (const { name } of tables) counts.push([name, await count(database, name.replaceAll('"', ''))]);
        return counts;
      };
      const before = await rows();

      await Promise.all(Array.from({ length: 500 }, () => postSigned(body, undefined)));

      expect(moonguard.webhooks.rejections.sandbox).toEqual({ signature_missing: 500 });
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain('signature_missing');
      expect(await rows()).toEqual(before);
    });
  });

  test.each([{ signatureToleranceSeconds: 300 }, { signatureToleranceSeconds: 60 }])(
    '26 t at the edges of the tolerance, past and future: %j',
    async ({ signatureToleranceSeconds }) => {
      const seconds = 1_780_000_000;
      const runtime = { ...systemRuntime, now: () => seconds * 1000 };
      const { post } = await startReceiving({ database }, { signatureToleranceSeconds, runtime });

      const statuses = [];
      for (const away of [-1, 0, 1].flatMap((more) => [
        -signatureToleranceSeconds - more,
        signatureToleranceSeconds + more,
      ])) {
        statuses.push((await post(newPurchase(), { timestampSeconds: seconds + away })).status);
      }

      expect(statuses).toEqual([200, 200, 200, 200, 401, 401]);
    },
  );

  test('27 odd white space, key order, unicode escapes and duplicate keys survive', async () => {
    const { post } = await startReceiving({ database });
    const body = '{ "data" : {"b":1.10, "a":"\\u00e9", "a":"é", "id": "x"},\n\t"type":"transaction_updated" }  ';

    expect((await post(body)).status).toBe(200);

    const [stored] = await storedEvents(database);
    expect(Buffer.from(stored?.raw_body ?? []).toString()).toBe(body);
  });

  test('28 both keys are valid during rotation; removing one takes effect without a restart', async () => {
    const [oldKey, newKey] = ['wk_test_old_0123456789', 'wk_test_new_0123456789'];
    const { post, moonguard } = await startReceiving({ database }, { webhookKeys: {} });
    const { fingerprint } = await moonguard.providerKeys.add('sandbox', oldKey);
    await moonguard.providerKeys.add('sandbox', newKey);

    expect((await post(newPurchase(), { key: oldKey })).status).toBe(200);
    expect((await post(newPurchase(), { key: newKey })).status).toBe(200);

    // Somebody else removes it: another process, or the command line.
    const elsewhere = await startReceiving({ database }, { webhookKeys: {} });
    await elsewhere.moonguard.providerKeys.remove('sandbox', fingerprint);

    const untilRefused = async () => {
      for (;;) if ((await post(newPurchase(), { key: oldKey })).status === 401) return;
    };
    await withDeadline(untilRefused(), () => 'the old key is still valid', MOONPAY_WAITS_MS);
    expect((await post(newPurchase(), { key: newKey })).status).toBe(200);
  });

  test('29 the database is slow: 503 within 5 s, and good again afterwards', async () => {
    const { post } = await startReceiving({ database });
    expect((await post(newPurchase())).status).toBe(200);
    const body = newPurchase();

    await database.transaction(async (transaction) => {
      // On the embedded database, which is one session, any transaction is in the way.
      if (kind === 'postgres') await sql`lock table moonpay_webhook_events`.execute(transaction);
      expect(await timed(post(body))).toEqual(inVain);
    });

    expect((await post(body)).status).toBe(200);
    expect(
      (await storedEvents(database)).filter(({ raw_body }) => Buffer.from(raw_body).equals(Buffer.from(body))),
    ).toHaveLength(1);
  });

  test.each([
    ['a type nobody knows', '{"type":"loyalty_points_granted","data":{"id":"1"}}', 'moonpay.loyalty_points_granted'],
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
    ['a NUL', '{"type":"transaction_updated","data":{"id":"a\\u0000b"}}', 'transaction.updated'],
    ['a number beyond every bound', '{"type":"transaction_updated","data":{"amount":1e400000}}', 'transaction.updated'],
    ['a status nobody knows', '{"type":"transaction_updated","data":{"id":"1","status":"?"}}', 'transaction.updated'],
    [
      'ids and times of other types',
      '{"type":"transaction_updated","data":{"id":7,"status":["x"],"updatedAt":5,"customerId":{},"baseCurrencyAmount":"many"}}',
      'transaction.updated',
    ],
  ])('32 %s: stored, named as well as can be, 200', async (_, body, name) => {
    const { post } = await startReceiving({ database });

    expect((await post(body)).status).toBe(200);

    // What 29 gave up may be stored as late as now.
    const stored = (await storedEvents(database)).filter(({ raw_body }) =>
      Buffer.from(raw_body).equals(Buffer.from(body)),
    );
    expect(stored).toMatchObject([{ event_name: name, last_processing_error: null }]);
  });

  test.each([
    ['in the data', { data: { externalCustomerId: 'mine' } }],
    ['beside the data', { externalCustomerId: 'mine' }],
  ])('32 your own id of the customer is found %s', async (_, { data, ...beside }: Record<string, unknown>) => {
    const { post } = await startReceiving({ database }, { webhookKeys: { sandbox: [webhookKey] } });
    const check = { id: 'k', customerId: 'theirs', status: 'completed', result: 'clear' };

    const body = { type: 'identity_check_updated', data: Object.assign(check, data), ...beside };
    expect((await post(JSON.stringify(body))).status).toBe(200);

    const { rows } = await sql`select moonpay_customer_id, external_customer_id from moonpay_customers`.execute(
      database.db,
    );
    expect(rows).toEqual([{ moonpay_customer_id: 'theirs', external_customer_id: 'mine' }]);
  });

  describe('30 bodies that are too much', () => {
    const limit = 1_048_576;
    const ofLength = (length: number) => `{"type":"x","padding":"${'x'.repeat(length - 25)}"}`;

    test('the limit is 1 MiB: as much is stored whole, a byte more is 413, also in chunks of unknown number', async () => {
      const { post, postSigned } = await startReceiving({ database });
      const [fits, tooLong] = [Buffer.from(ofLength(limit)), Buffer.from(ofLength(limit + 1))];
      expect([fits.length, tooLong.length]).toEqual([limit, limit + 1]);
      const inChunks = (body: Buffer<ArrayBuffer>) => postSigned(new Blob([body]).stream(), signatureOf(body));

      expect((await post(tooLong)).status).toBe(413);
      expect((await inChunks(tooLong)).status).toBe(413);
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);

      expect((await inChunks(fits)).status).toBe(200);
      const [stored] = await storedEvents(database);
      expect(Buffer.from(stored?.raw_body ?? []).equals(fits)).toBe(true);
    });

    test('a compressed body is refused', async () => {
      const { postSigned } = await startReceiving({ database });
      const bomb = gzipSync(Buffer.alloc(50_000_000));

      const response = await postSigned(bomb, signatureOf(bomb), { 'content-encoding': 'gzip' });

      expect(response.status).toBe(415);
      expect(await count(database, 'moonpay_webhook_events')).toBe(0);
    });

    test.each([
      ['10,000 levels of nesting', `{"type":"transaction_updated","data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
      ['half a surrogate pair', '{"type":"transaction_updated","data":{"id":"\\ud800"}}'],
      [
        '__proto__ keys',
        '{"type":"transaction_updated","__proto__":{"isAdmin":true},"data":{"id":"1","__proto__":{"isAdmin":true}}}',
      ],
    ])('%s: stored as it came, and nothing else changes', async (_, body) => {
      const { post } = await startReceiving({ database });

      expect((await post(body)).status).toBe(200);

      const [stored] = await storedEvents(database);
      expect(stored).toMatchObject({ event_name: 'transaction.updated', last_processing_error: null });
      expect(Buffer.from(stored?.raw_body ?? []).toString()).toBe(body);
      expect(Reflect.get({}, 'isAdmin')).toBeUndefined();
    });
  });

  test.each([
    ['2 times in a row', 2, 1],
    ['50 times at once', 50, 50],
  ])('31 the same event %s: 200 for all, one event, one delivery for each endpoint', async (_, times, atOnce) => {
    const { post, moonguard } = await startReceiving({ database });
    for (const path of ['one', 'two']) {
      await moonguard.webhooks.createWebhook({
        url: `https://example.com/${path}`,
        events: ['*'],
        environment: 'sandbox',
      });
    }
    const body = newPurchase();

    const answers: unknown[] = [];
    while (answers.length < times) {
      const responses = await Promise.all(Array.from({ length: atOnce }, () => post(body)));
      expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
      answers.push(...(await Promise.all(responses.map((response) => response.json()))));
    }

    const [event, ...others] = await storedEvents(database);
    expect(others).toEqual([]);
    const answerOf = (duplicate: boolean) => ({ received: true, event_id: event?.id, duplicate });
    expect(answers).toHaveLength(times);
    expect(answers.filter((answer) => JSON.stringify(answer).includes('"duplicate":false'))).toEqual([answerOf(false)]);
    expect(answers).toEqual(expect.arrayContaining([answerOf(true)]));
    expect(await count(database, 'moonguard.deliveries')).toBe(2);
  });
});

describe('29 the way to PostgreSQL', () => {
  test.each(['cut', 'silence'] as const)(
    'is lost (%s): 503 within 5 s, and good again when it is back',
    async (how) => {
      const database = await openTestDatabase('postgres');
      const proxy = await startProxy(database.url);
      const { post } = await startReceiving({ databaseUrl: proxy.url });
      // More than are stored at a time, so that every connection that stores is there, and is lost.
      const postMany = () => Promise.all(Array.from({ length: 10 }, () => timed(post(newPurchase()))));
      try {
        expect((await postMany()).map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));

        proxy[how]();
        expect(await postMany()).toEqual(Array.from({ length: 10 }, () => inVain));

        proxy.restore();
        const untilStored = async () => {
          for (;;) if ((await post(newPurchase())).status === 200) return;
        };
        await withDeadline(untilStored(), () => 'webhooks are still refused', 20_000);
      } finally {
        proxy.restore();
        await proxy.stop();
        await database.close();
      }
    },
    40_000,
  );
});

conformance('receiving out of order', (product) => {
  test('33 completed before pending: the state stays, the late event is kept and marked, endpoints get both as they came', async () => {
    const receiver = await startReceiver();
    await product.endpoint(receiver.url, { deliverySettings: { ordering: 'entity' } });
    const id = systemRuntime.newId();

    const completed = await product.post(buyEvent({ id, status: 'completed', updatedAt: '2026-11-01T10:00:09.000Z' }));
    const pending = await product.post(buyEvent({ id, status: 'pending', updatedAt: '2026-11-01T10:00:05.000Z' }));

    const arrivals = await receiver.arrived(2);
    expect(arrivals.map(({ eventId }) => eventId)).toEqual([completed, pending]);
    const { rows: transactions } = await sql`
      select status, moonpay_status from moonpay_transactions where moonpay_transaction_id = ${id}`.execute(
      product.database.db,
    );
    expect(transactions).toEqual([{ status: 'completed', moonpay_status: 'completed' }]);
    const { rows: events } = await sql`
      select id, is_late, processed_at = received_at as was_never_to_be_decided from moonpay_webhook_events
      where entity_id = ${id} and is_late`.execute(product.database.db);
    expect(events).toEqual([{ id: pending, is_late: true, was_never_to_be_decided: true }]);
  });
});
