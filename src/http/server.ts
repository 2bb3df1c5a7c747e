import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Moonguard } from '../moonguard.ts';
import { createApp } from './app.ts';

export interface RunningServer {
  /** As it can be called from this machine: http://127.0.0.1:3000 */
  readonly url: string;
  /** Takes no new connection, answers what it has accepted, then closes. */
  readonly close: () => Promise<void>;
}

export async function startServer(
  moonguard: Pick<Moonguard, 'webhooks' | 'readiness'>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningServer> {
  const app = createApp(moonguard);
  const server = createServer(getRequestListener(app.fetch));
  server.listen(port, host);
  await once(server, 'listening');
  return { url: urlOf(server), close: () => close(server) };
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  const everywhere = address === '0.0.0.0' || address === '::';
  const name = everywhere ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address;
  return `http://${name}:${port}`;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // Kept-alive connections without a request would hold it open for seconds.
  server.closeIdleConnections();
  await closed;
}
