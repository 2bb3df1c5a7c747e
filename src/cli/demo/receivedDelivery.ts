import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/**
 * How a receiver of yours would verify a delivery; nothing here comes from the sender's code. Either scheme suffices, the
 * demo looks at both.
 */
export function isGenuine(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  return isStandardWebhook(headers, body, secret) && isSignedAsMoonPayDoes(headers, body, secret);
}

/** https://www.standardwebhooks.com: base64 HMAC of `id.timestamp.body` under the bytes that `whsec_…` encodes. */
function isStandardWebhook(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  const signed = `${textOf(headers, 'webhook-id')}.${textOf(headers, 'webhook-timestamp')}.`;
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const expected = createHmac('sha256', key).update(signed).update(body).digest();
  return textOf(headers, 'webhook-signature')
    .split(' ')
    .some((signature) => equal(Buffer.from(signature.replace(/^v1,/, ''), 'base64'), expected));
}

/** `t=<seconds>,s=<hex>`, one `s` for each valid secret: HMAC of `t.body` under the secret's text. */
function isSignedAsMoonPayDoes(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  const fields = textOf(headers, 'moonpay-signature-v2')
    .split(',')
    .map((field) => field.split('='));
  const t = fields.find(([name]) => name === 't')?.[1] ?? '';
  const expected = createHmac('sha256', secret).update(`${t}.`).update(body).digest();
  return fields.some(([name, value = '']) => name === 's' && equal(Buffer.from(value, 'hex'), expected));
}

function textOf(headers: IncomingHttpHeaders, name: string): string {
  return String(headers[name] ?? '');
}

function equal(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
