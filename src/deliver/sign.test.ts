import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { createEndpointSecretKey, newEndpointSecret, signDelivery } from './sign.ts';

const eventId = '01939c2e-6f4b-7c3d-8e5f-0123456789ab';
/** The verifier takes its own clock, so this has to be the time of the test. */
const timestampSeconds = Math.floor(Date.now() / 1000);
const body = Buffer.from('{"type":"transaction_updated", "data":{"note":"ü\\u00fc"}}\n');

function sign(secretTexts: readonly string[], signedBody: Uint8Array = body): Record<string, string> {
  const keys = secretTexts.map((text, index) => ({ key: createEndpointSecretKey(String(index), text) }));
  return signDelivery({ keys, eventId, timestampSeconds, body: signedBody });
}

/** Written from MoonPay's documentation alone; accepts when any `s` matches. */
function verifyAsMoonPay(header: string, key: string, rawBody: Uint8Array): boolean {
  const pairs = header.split(',').map((pair) => pair.split('=', 2));
  const t = pairs.find(([name]) => name === 't')?.[1];
  const expected = createHmac('sha256', key)
    .update(Buffer.concat([Buffer.from(`${t}.`), rawBody]))
    .digest('hex');
  return pairs.some(([name, value]) => name === 's' && value === expected);
}

function moonpayHeader(headers: Record<string, string>): string {
  return headers['Moonpay-Signature-V2'] ?? '';
}

describe('signDelivery', () => {
  test('names the event and the time of the attempt', () => {
    const headers = sign([newEndpointSecret()]);

    expect(headers['webhook-id']).toBe(`evt_${eventId}`);
    expect(headers['webhook-timestamp']).toBe(String(timestampSeconds));
    expect(moonpayHeader(headers)).toMatch(new RegExp(`^t=${timestampSeconds},s=[0-9a-f]{64}$`));
  });

  test('verifies with the Standard Webhooks library', () => {
    const secret = newEndpointSecret();

    expect(new Webhook(secret).verify(body, sign([secret]))).toMatchObject({ type: 'transaction_updated' });
    expect(() => new Webhook(newEndpointSecret()).verify(body, sign([secret]))).toThrow('No matching signature');
  });

  test('verifies with code written for MoonPay', () => {
    const secret = newEndpointSecret();
    const header = moonpayHeader(sign([secret]));

    expect(verifyAsMoonPay(header, secret, body)).toBe(true);
    expect(verifyAsMoonPay(header, newEndpointSecret(), body)).toBe(false);
    expect(verifyAsMoonPay(header, secret, Buffer.from('{}'))).toBe(false);
  });

  test('signs with both secrets during the overlap of a rotation, the newest first', () => {
    const [newer, older] = [newEndpointSecret(), newEndpointSecret()];
    const headers = sign([newer, older]);

    for (const secret of [newer, older]) {
      expect(() => new Webhook(secret).verify(body, headers)).not.toThrow();
      expect(verifyAsMoonPay(moonpayHeader(headers), secret, body)).toBe(true);
    }
    expect(headers['webhook-signature']?.split(' ')[0]).toBe(sign([newer])['webhook-signature']);
    expect(moonpayHeader(headers).startsWith(moonpayHeader(sign([newer])))).toBe(true);
  });

  test('never leaves a delivery unsigned', () => {
    expect(() => sign([])).toThrow(expect.objectContaining({ code: 'endpoint_secret_missing' }));
    expect(() => createEndpointSecretKey('id', '')).toThrow(
      expect.objectContaining({ code: 'endpoint_secret_missing' }),
    );
  });

  test('takes any adopted secret as its UTF-8 bytes, for both schemes', () => {
    const adopted = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.constantFrom('whsec_', 'whsec_not base64', 'whsec_YWJj=', 'whsec_YWI', 'wk_test_123', 'WHSEC_YWJj'),
    );
    fc.assert(
      fc.property(adopted, fc.json(), (secret, json) => {
        const signedBody = Buffer.from(json);
        const headers = sign([secret], signedBody);
        const key = Buffer.from(secret);

        expect(() => new Webhook(key, { format: 'raw' }).verify(signedBody, headers)).not.toThrow();
        expect(verifyAsMoonPay(moonpayHeader(headers), secret, signedBody)).toBe(true);
      }),
    );
  });
});

describe('newEndpointSecret', () => {
  test('is whsec_ and 32 random bytes in base64', () => {
    expect(newEndpointSecret((size) => Buffer.alloc(size, 0xfb))).toBe(
      `whsec_${Buffer.alloc(32, 0xfb).toString('base64')}`,
    );
    expect(newEndpointSecret()).not.toBe(newEndpointSecret());
  });
});
