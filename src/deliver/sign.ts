import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { MoonguardError } from '../errors.ts';

const standardPrefix = 'whsec_';

/** A secret of an endpoint, ready to sign: with a KeyObject made once an HMAC takes 2.5 µs, with a Buffer 13 µs. */
export interface EndpointSecretKey {
  readonly id: string;
  readonly standardWebhooks: KeyObject;
  readonly moonpay: KeyObject;
}

export interface DeliveryToSign {
  /** Every key that is valid now, the newest first: two during a rotation's overlap. */
  readonly keys: readonly { readonly key: EndpointSecretKey }[];
  readonly eventId: string;
  /** When this attempt is made, in unix seconds. */
  readonly timestampSeconds: number;
  /** Exactly the bytes that are sent. */
  readonly body: Uint8Array;
}

/**
 * The headers that identify and sign one attempt, in two schemes with the same secrets: Standard Webhooks
 * (https://www.standardwebhooks.com) and MoonPay's, so that code written for MoonPay verifies ours as well.
 * @throws MoonguardError endpoint_secret_missing: nothing is ever sent unsigned
 */
export function signDelivery({ keys, eventId, timestampSeconds, body }: DeliveryToSign): Record<string, string> {
  if (keys.length === 0) throw new MoonguardError('endpoint_secret_missing', 'The endpoint has no secret.');
  const id = `evt_${eventId}`;
  let standard = '';
  let moonpay = `t=${timestampSeconds}`;
  for (const { key } of keys) {
    const digest = hmac(key.standardWebhooks, `${id}.${timestampSeconds}.`, body).digest('base64');
    standard += standard === '' ? `v1,${digest}` : ` v1,${digest}`;
    moonpay += `,s=${hmac(key.moonpay, `${timestampSeconds}.`, body).digest('hex')}`;
  }
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': standard,
    'Moonpay-Signature-V2': moonpay,
  };
}

function hmac(key: KeyObject, prefix: string, body: Uint8Array) {
  return createHmac('sha256', key).update(prefix).update(body);
}

/**
 * Makes the keys of a secret. Standard Webhooks uses the bytes that `whsec_…` encodes, MoonPay's scheme the text as it
 * stands. Of a secret in another form, adopted from an earlier installation, both use the text's UTF-8 bytes.
 * @throws MoonguardError endpoint_secret_missing when the text is empty
 */
export function createEndpointSecretKey(id: string, secretText: string): EndpointSecretKey {
  if (secretText === '') throw new MoonguardError('endpoint_secret_missing', 'An endpoint secret cannot be empty.');
  const text = Buffer.from(secretText, 'utf8');
  return {
    id,
    standardWebhooks: createSecretKey(decodeStandardSecret(secretText) ?? text),
    moonpay: createSecretKey(text),
  };
}

function decodeStandardSecret(secretText: string): Buffer | undefined {
  if (!secretText.startsWith(standardPrefix)) return undefined;
  const encoded = secretText.slice(standardPrefix.length);
  const decoded = Buffer.from(encoded, 'base64');
  // Buffer skips what is not base64, so only a text that comes out the same again was base64.
  return decoded.length > 0 && decoded.toString('base64') === encoded ? decoded : undefined;
}

/** A new endpoint secret: `whsec_` and 32 random bytes in base64. */
export function newEndpointSecret(random: (size: number) => Buffer = randomBytes): string {
  return standardPrefix + random(32).toString('base64');
}
