import { createHmac, timingSafeEqual } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { providerKeySecret, SIGNATURE_HEADER, signProviderBody } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { examplesFolder } from './besideCheckout.ts';

/** MoonPay as a test sees it: its example payloads, and its signature. */

export const webhookKey = 'wk_test_4x0Kq5mTzJ1fVbYw8sNc';

export interface ExamplePayload {
  readonly file: string;
  readonly body: Buffer;
}

/** Every example as MoonPay would post it: those without their envelope are put into one, byte for byte. */
export function examplePayloads(): ExamplePayload[] {
  return readdirSync(examplesFolder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const content = readFileSync(new URL(file, examplesFolder), 'utf8');
      const body = file.endsWith('.data.json') ? `{"type":"${typeOf(file)}","data":${content}}` : content;
      return { file, body: Buffer.from(body) };
    });
}

function typeOf(file: string): string {
  if (file.startsWith('identity_check')) return 'identity_check_updated';
  return file.startsWith('sell') ? 'sell_transaction_updated' : 'transaction_updated';
}

export interface SignatureOptions {
  readonly key?: string;
  readonly timestampSeconds?: number;
}

export function signatureOf(
  body: Uint8Array,
  { key = webhookKey, timestampSeconds = Math.floor(systemRuntime.now() / 1000) }: SignatureOptions = {},
): string {
  return signProviderBody(body, providerKeySecret('test', key).key, timestampSeconds);
}

/** A webhook as MoonPay posts it. */
export function webhookRequest(url: string, body: Uint8Array | string, options?: SignatureOptions): Request {
  const bytes = Buffer.from(body);
  return new Request(url, {
    method: 'POST',
    body: bytes,
    headers: { 'content-type': 'application/json', [SIGNATURE_HEADER]: signatureOf(bytes, options) },
  });
}

/** How somebody who reads MoonPay's documentation verifies a webhook; while a secret is replaced any of several fits. */
export function verifiesAsMoonpay(headers: IncomingHttpHeaders, rawBody: Uint8Array, secret: string): boolean {
  const fields = String(headers['moonpay-signature-v2']).split(',');
  const valuesOf = (name: string) =>
    fields.filter((field) => field.startsWith(`${name}=`)).map((field) => field.slice(2));
  const [t] = valuesOf('t');
  const expected = createHmac('sha256', secret).update(`${t}.`).update(rawBody).digest();
  return valuesOf('s').some((s) => timingSafeEqual(Buffer.from(s, 'hex'), expected));
}

/** A buy transaction's event; members of `data` override. */
export function buyEvent(data: Readonly<Record<string, unknown>>, type = 'transaction_updated'): string {
  return JSON.stringify({
    type,
    data: {
      id: '11111111-2222-4333-8444-555555555555',
      createdAt: '2026-11-01T10:00:00.000Z',
      updatedAt: '2026-11-01T10:00:01.000Z',
      status: 'pending',
      customerId: 'c0ffee00-0000-4000-8000-000000000001',
      externalTransactionId: null,
      baseCurrency: { code: 'eur', type: 'fiat' },
      currency: { code: 'eth', type: 'crypto' },
      baseCurrencyAmount: 50,
      quoteCurrencyAmount: 0.0123,
      ...data,
    },
  });
}
