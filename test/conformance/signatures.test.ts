import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { verifiesAsMoonpay, webhookKey } from '../support/moonpay.ts';
import type { Endpoint } from './endpoint.ts';
import { conformance, newPurchase, type Product } from './product.ts';
import { type Arrival, startReceiver } from './receiver.ts';

function verifiesAsStandardWebhook({ headers, body }: Arrival, secret: string): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

const withSpace = (body: Buffer): Buffer => Buffer.concat([body, Buffer.from(' ')]);

function verifiesInBothSchemes(arrival: Arrival, secret: string): boolean {
  const verdicts = [
    verifiesAsStandardWebhook(arrival, secret),
    verifiesAsMoonpay(arrival.headers, arrival.body, secret),
  ];
  if (verdicts[0] !== verdicts[1]) throw new Error('The two signatures were made with different secrets.');
  return verdicts.every(Boolean);
}

conformance('signatures', (product) => {
  test('9 the signature verifies with the official `standardwebhooks` library', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url);
    const eventId = await product.post();
    await endpoint.settled(eventId);
    const [arrival] = receiver.arrivalsOf(eventId);
    if (arrival === undefined) throw new Error('Nothing has come.');

    expect(verifiesAsStandardWebhook(arrival, endpoint.secret)).toBe(true);
    expect(verifiesAsStandardWebhook({ ...arrival, body: withSpace(arrival.body) }, endpoint.secret)).toBe(false);
  });

  test("9 `Moonpay-Signature-V2`, made with the endpoint's own secret, verifies with code written for MoonPay", async () => {
    const [receiver, other] = [await startReceiver(), await startReceiver()];
    const endpoint = await product.endpoint(receiver.url);
    const { secret: secretOfAnother } = await product.endpoint(other.url);
    const eventId = await product.post();
    await endpoint.settled(eventId);
    const { headers, body } = receiver.arrivals[0] ?? { headers: {}, body: Buffer.alloc(0) };

    expect(verifiesAsMoonpay(headers, body, endpoint.secret)).toBe(true);
    expect(verifiesAsMoonpay(headers, withSpace(body), endpoint.secret)).toBe(false);
    expect(verifiesAsMoonpay(headers, body, secretOfAnother)).toBe(false);
    expect(verifiesAsMoonpay(headers, body, webhookKey)).toBe(false);
  });

  test('10 secret rotation: during the overlap both signatures are sent, afterwards only the new one, and never neither', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url);
    const secrets = new Map([['old', endpoint.secret]]);
    const signersOf = (eventIds: readonly string[]): Set<string> => {
      const arrivals = eventIds.flatMap((eventId) => receiver.arrivalsOf(eventId));
      return new Set(
        arrivals.map((arrival) => {
          const signers = Array.from(secrets).filter(([, secret]) => verifiesInBothSchemes(arrival, secret));
          return signers.map(([name]) => name).join(' and ');
        }),
      );
    };

    // All the while there is something to send, so that no worker begins anew after a rest.
    const ended = new AbortController();
    const streamed = (async (): Promise<string[]> => {
      const eventIds: string[] = [];
      while (!ended.signal.aborted) eventIds.push(await product.post());
      return eventIds;
    })();
    const before = await deliverSome(product, endpoint);
    const rotated = await product.webhooks.rotateSecret(endpoint.id, { overlapSeconds: 3 });
    secrets.set('new', rotated.secret);
    const isOver = () => Date.now() > (rotated.previousExpiresAt?.getTime() ?? 0);
    const during = await deliverSome(product, endpoint);
    const cameInTime = !isOver();
    while (!isOver()) await product.post();
    const after = await deliverSome(product, endpoint);
    ended.abort();
    await deliverSome(product, endpoint);

    expect(cameInTime).toBe(true);
    expect(signersOf(before)).toEqual(new Set(['old']));
    expect(signersOf(during)).toEqual(new Set(['old and new']));
    expect(signersOf(after)).toEqual(new Set(['new']));
    expect(signersOf(await streamed)).toEqual(new Set(['old', 'old and new', 'new']));
  });
});

async function deliverSome(product: Product, endpoint: Endpoint): Promise<string[]> {
  const eventIds = await product.postMany(20);
  for (const eventId of eventIds) await endpoint.settled(eventId);
  return eventIds;
}

const reserved = ['webhook-id', 'Webhook-Timestamp', 'WEBHOOK-SIGNATURE', 'webhook-anything'];
const signatures = ['Moonpay-Signature', 'Moonpay-Signature-V2', 'moonpay-signature-v3'];
const content = ['Content-Type', 'Content-Length', 'Content-Encoding', 'Host', 'Expect'];
const hopByHop = ['Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade'];

conformance('custom headers and payloads', (product) => {
  test.each([...reserved, ...signatures, ...content, ...hopByHop, 'Proxy-Authorization'])(
    '20 custom headers cannot override webhook-*, signature, content-type, content-length, host or hop-by-hop headers: %s',
    async (name) => {
      const endpoint = await product.endpoint('https://a.example/');
      const headers = { [name]: 'x' };
      const refusal = { code: 'webhook_invalid', problems: [{ code: 'header_reserved', field: `headers.${name}` }] };

      await expect(product.endpoint('https://b.example/', { headers })).rejects.toMatchObject(refusal);
      await expect(product.webhooks.updateWebhook(endpoint.id, { headers })).rejects.toMatchObject(refusal);
      const updated = sql`update moonpay_webhook_config set headers = ${JSON.stringify(headers)}::jsonb
        where id = ${endpoint.id}`.execute(product.database.db);
      expect(databaseErrorReport(await updated.catch((error: unknown) => error)).constraint).toBe(
        'moonpay_webhook_config_headers_check',
      );
    },
  );

  test('20 any other header goes along, beside those that Moonguard sets', async () => {
    const receiver = await startReceiver();
    const headers = { Authorization: 'Bearer x', 'X-Own': 'a b', 'x-webhook-id': 'other', Date: 'never' };
    const endpoint = await product.endpoint(receiver.url, { headers });

    const eventId = await product.post();
    await endpoint.settled(eventId);

    const [arrival] = receiver.arrivals;
    expect(arrival?.headers).toMatchObject({
      authorization: 'Bearer x',
      'x-own': 'a b',
      'x-webhook-id': 'other',
      'webhook-id': `evt_${eventId}`,
      'content-type': 'application/json',
      'content-length': String(arrival?.body.length),
      host: `127.0.0.1:${receiver.port}`,
    });
  });

  test.each(['a\r\nwebhook-id: forged', 'a\nb', 'a\rb', '\r\n', 'a\0b'])(
    '20 CR or LF in a value is refused when the endpoint is saved: %j',
    async (value) => {
      const headers = { 'x-own': value };
      const refusal = {
        code: 'webhook_invalid',
        problems: [{ code: 'header_value_invalid', field: 'headers.x-own' }],
      };
      const endpoint = await product.endpoint('https://a.example/');

      await expect(product.endpoint('https://b.example/', { headers })).rejects.toMatchObject(refusal);
      await expect(product.webhooks.updateWebhook(endpoint.id, { headers })).rejects.toMatchObject(refusal);
    },
  );

  test('23 payload `envelope`: {id, type, environment, occurred_at, provider_type, data}', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url, { deliverySettings: { payload: 'envelope' } });
    const purchase = newPurchase({ status: 'completed', quoteCurrencyAmount: 'DIGITS' });
    const body = purchase.replace('"DIGITS"', '0.123456789012345678901234567890');

    const eventId = await product.post(body);
    await endpoint.settled(eventId);

    const text = receiver.arrivals[0]?.body.toString() ?? '';
    const envelope = JSON.parse(text) as Record<string, unknown>;
    expect(Object.keys(envelope)).toEqual(['id', 'type', 'environment', 'occurred_at', 'provider_type', 'data']);
    expect(envelope).toEqual({
      id: `evt_${eventId}`,
      type: 'transaction.completed',
      environment: 'sandbox',
      occurred_at: '2026-11-01T10:00:01.000Z',
      provider_type: 'transaction_updated',
      data: (JSON.parse(body) as { readonly data: unknown }).data,
    });
    expect(text).toContain('0.123456789012345678901234567890');
  });

  test("23 payload `provider`: MoonPay's bytes unchanged", async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url);
    const members =
      '"status" : "pending", "status":"completed","n":1.10,"e":1E2,"u":"\\u00e9\\ud83d\\ude00 é","z":null';
    const body = Buffer.from(
      `\t{ "data" : {"id":"${systemRuntime.newId()}",${members}},\r\n"type":"transaction_updated" } \n`,
    );

    await endpoint.settled(await product.post(body));

    expect(receiver.arrivals[0]?.body.toString('hex')).toBe(body.toString('hex'));
  });
});
