import { once } from 'node:events';
import { createServer } from 'node:net';
import { reply } from './childProcess.ts';
import { monotonicMs } from './clock.ts';
import { createMessageReader } from './httpMessages.ts';

/** The process behind `startReceiver`. */

export interface Received {
  readonly url: string;
  readonly requests: number;
  /** When each `webhook-id` came first, by `monotonicMs`. */
  readonly arrivals: ReadonlyMap<string, number>;
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}';

let requests = 0;
let arrivals = new Map<string, number>();

const server = createServer({ noDelay: true }, (socket) => {
  const read = createMessageReader((head) => {
    requests++;
    const id = /\r\nwebhook-id: *([^\r]*)/i.exec(head)?.[1] ?? '';
    if (!arrivals.has(id)) arrivals.set(id, monotonicMs());
    socket.write(OK);
  });
  socket.on('data', read);
  socket.on('error', () => {}); // the sender may close while something is under way
});
server.listen(0, '127.0.0.1');

async function takeReceived(): Promise<Received> {
  if (!server.listening) await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const received = { url: `http://127.0.0.1:${port}/webhooks`, requests, arrivals };
  requests = 0;
  arrivals = new Map();
  return received;
}

process.on('message', () => void reply(takeReceived()));
process.once('disconnect', () => process.exit());
