import type { Dispatcher } from 'undici';

/** Of the length that a signed delivery has. */
const headers = {
  'content-type': 'application/json',
  'user-agent': 'Moonguard',
  'webhook-timestamp': '1790000000',
  'webhook-signature': `v1,${'A'.repeat(44)}`,
  'Moonpay-Signature-V2': `t=1790000000,s=${'0'.repeat(64)}`,
};

/** Posts what a delivery would, with nothing signed and nothing recorded. Rejects unless the answer is 200. */
export function postDirectly(dispatcher: Dispatcher, url: URL, webhookId: string, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    let status = 0;
    dispatcher.dispatch(
      {
        origin: url.origin,
        path: url.pathname,
        method: 'POST',
        headers: { ...headers, 'webhook-id': webhookId },
        body,
      },
      {
        onRequestStart: () => {},
        onResponseStart: (_controller, responseStatus) => {
          status = responseStatus;
        },
        onResponseData: () => {},
        onResponseEnd: () => (status === 200 ? resolve() : reject(new Error(`HTTP ${status}`))),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
}
