import { onTestFinished } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard, type MoonguardOptions } from '../../src/moonguard.ts';
import { SIGNATURE_HEADER } from '../../src/receive/verifySignature.ts';
import { receiveUrl } from '../../src/simulate/sendEvent.ts';
import { type SignatureOptions, signatureOf, webhookKey } from './moonpay.ts';

/** Moonguard as MoonPay meets it: a server on this machine. */
export interface ReceivingServer {
  readonly moonguard: Moonguard;
  /** Where the sandbox's webhooks are posted. */
  readonly url: string;
  /** Posts a body with its signature, as MoonPay does. */
  readonly post: (body: string | Uint8Array, options?: SignatureOptions) => Promise<Response>;
  /** Posts a body with this signature header, or without any; further headers besides. */
  readonly postSigned: (
    body: RequestInit['body'],
    signature: string | undefined,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Response>;
}

/** Receives and delivers nothing, for as long as the test runs. */
export async function startReceiving(
  where: { readonly database: Database } | { readonly databaseUrl: string },
  options: Omit<MoonguardOptions, 'database' | 'databaseUrl' | 'masterKey'> = {},
): Promise<ReceivingServer> {
  const moonguard = await createMoonguard({
    webhookKeys: { sandbox: [webhookKey] },
    ...options,
    ...where,
    masterKey: Buffer.alloc(32, 7).toString('base64'),
  });
  const server = await startServer(moonguard, { host: '127.0.0.1', port: 0 });
  onTestFinished(async () => {
    await server.close();
    await moonguard.stop();
  });
  const url = receiveUrl(server.url, 'sandbox');
  const postSigned: ReceivingServer['postSigned'] = (body, signature, headers = {}) =>
    fetch(url, {
      method: 'POST',
      duplex: 'half',
      headers: { ...headers, ...(signature !== undefined && { [SIGNATURE_HEADER]: signature }) },
      ...(body !== undefined && { body }),
    });
  return {
    moonguard,
    url,
    postSigned,
    post: (body, signing) => postSigned(Buffer.from(body), signatureOf(Buffer.from(body), signing)),
  };
}
