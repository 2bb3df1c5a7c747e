import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Servers on 127.0.0.1 that live as long as the test that starts them. */

export interface LocalServer {
  readonly port: number;
  /** Address of its path /hook. */
  readonly url: string;
  /** Every connection that was made to it, open or closed. */
  readonly connections: ReadonlySet<Socket>;
  readonly close: () => Promise<void>;
}

export interface LocalHttpServer extends LocalServer {
  readonly requests: readonly IncomingMessage[];
}

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Calls `onRequest` for every connection when its first bytes have come in. */
export function tcpServer(onRequest: (socket: Socket) => void): Promise<LocalServer> {
  const server = createServer((socket) => {
    socket.on('error', () => {}); // the client may reset
    socket.once('data', () => onRequest(socket));
  });
  return listen(server, 'http');
}

export async function httpServer(answer: Answer): Promise<LocalHttpServer> {
  const requests: IncomingMessage[] = [];
  const server = createHttpServer((request, response) => {
    requests.push(request);
    void answer(request, response);
  });
  return { ...(await listen(server, 'http')), requests };
}

export async function httpsServer(options: ServerOptions, answer: Answer): Promise<LocalHttpServer> {
  const requests: IncomingMessage[] = [];
  const server = createHttpsServer(options, (request, response) => {
    requests.push(request);
    void answer(request, response);
  });
  return { ...(await listen(server, 'https')), requests };
}

async function listen(server: Server, scheme: 'http' | 'https'): Promise<LocalServer> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => connections.add(socket));
  const close = async () => {
    for (const socket of connections) socket.destroy();
    if (server.listening) await once(server.close(), 'close');
  };
  onTestFinished(close);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server does not listen on a port.');
  return { port: address.port, url: `${scheme}://127.0.0.1:${address.port}/hook`, connections, close };
}
