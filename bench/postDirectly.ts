import type { Dispatcher } from 'undici';

/** Of the length that a signed delivery has. */
const unsigned = {
  'content-type': 'application/json',
  'user-agent': 'Moonguard',
  'webhook-timestamp': '1790000000',
  'webhook-signature': `v1,${'A'.repeat(44)}`,
  'Moonpay-Signature-V2': `t=1790000000,s=${'0'.repeat(64)}`,
};

/** What a delivery's headers look like, with nothing signed. */
export function unsignedHeaders(webhookId: string): Record<string, string> {
  return { ...unsigned, 'webhook-id': webhookId };
}

export interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

const nothing = new Uint8Array();

/** Posts with as little between the caller and undici's connections as there can be. */
export function postDirectly(
  dispatcher: Dispatcher,
  url: URL,
  headers: Record<string, string>,
  body: Uint8Array,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let status = 0;
    let received: Uint8Array = nothing;
    dispatcher.dispatch(
      { origin: url.origin, path: url.pathname, method: 'POST', headers, body },
      {
        onRequestStart: () => {},
        onResponseStart: (_controller, responseStatus) => {
          status = responseStatus;
        },
        onResponseData: (_controller, chunk) => {
          received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        },
        onResponseEnd: () => resolve({ status, body: received }),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
}
