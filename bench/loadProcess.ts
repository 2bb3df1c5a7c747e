import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { providerKeySecret, SIGNATURE_HEADER, signProviderBody } from '../src/receive/verifySignature.ts';
import { reply } from './childProcess.ts';
import { monotonicMs } from './clock.ts';
import { createMessageReader } from './httpMessages.ts';
import { webhookBody } from './payload.ts';

/** The process behind `startLoad`. */

export type LoadCall =
  | {
      readonly do: 'prepare';
      readonly url: string;
      readonly requests: number;
      readonly connections: number;
      readonly webhookKey: string;
    }
  | { readonly do: 'post' };

/** After `post`; empty after `prepare`. */
export interface LoadResult {
  readonly durationMs: number;
  /** Milliseconds from the first byte of each request to the last byte of its answer. */
  readonly times: Float64Array;
  /** Requests that were answered with anything but 200. */
  readonly refused: number;
  /** One of those answers. */
  readonly refusal: string | undefined;
}

const nothing: LoadResult = { durationMs: 0, times: new Float64Array(), refused: 0, refusal: undefined };

let requests: readonly Buffer[] = [];
let sockets: readonly Socket[] = [];

async function answer(call: LoadCall): Promise<LoadResult> {
  switch (call.do) {
    case 'prepare': {
      const url = new URL(call.url);
      requests = Array.from({ length: call.requests }, () => signedRequest(url, call.webhookKey));
      sockets = await Promise.all(Array.from({ length: call.connections }, () => openConnection(url)));
      return nothing;
    }
    case 'post': {
      const result = await postAll();
      for (const socket of sockets) socket.destroy();
      return result;
    }
  }
}

process.on('message', (call: LoadCall) => void reply(answer(call)));
process.once('disconnect', () => process.exit());

function signedRequest(url: URL, webhookKey: string): Buffer {
  const body = Buffer.from(webhookBody(randomUUID()));
  const { key } = providerKeySecret('bench', webhookKey);
  const signature = signProviderBody(body, key, Math.floor(Date.now() / 1000));
  const head = [
    `POST ${url.pathname} HTTP/1.1`,
    `host: ${url.host}`,
    'user-agent: MoonPay',
    'content-type: application/json',
    `content-length: ${body.length}`,
    `${SIGNATURE_HEADER}: ${signature}`,
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
}

async function openConnection(url: URL): Promise<Socket> {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** Every connection sends its next request as soon as its last one is answered. */
async function postAll(): Promise<LoadResult> {
  const times = new Float64Array(requests.length);
  const queue = requests.values();
  let refused = 0;
  let refusal: string | undefined;
  let answered = 0;

  const post = (socket: Socket): Promise<void> =>
    new Promise((resolve, reject) => {
      let sentAt = 0;
      const sendNext = (): void => {
        const next = queue.next();
        if (next.done) return resolve();
        sentAt = monotonicMs();
        socket.write(next.value);
      };
      socket.on(
        'data',
        createMessageReader((head) => {
          times[answered++] = monotonicMs() - sentAt;
          if (!head.startsWith('HTTP/1.1 200')) {
            refused++;
            refusal = head;
          }
          sendNext();
        }),
      );
      socket.on('close', () => reject(new Error('The server closed a connection.')));
      socket.on('error', reject);
      sendNext();
    });

  const startedAt = monotonicMs();
  await Promise.all(sockets.map(post));
  return { durationMs: monotonicMs() - startedAt, times, refused, refusal };
}
