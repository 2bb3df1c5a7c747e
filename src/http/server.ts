import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Observe } from '../observe/observation.ts';
import { createApp, createMetricsApp, type Served } from './app.ts';
import { listen } from './listen.ts';
import type { ServedMetrics } from './metricsRoute.ts';

export interface RunningServer {
  /** As it can be called from this machine: http://127.0.0.1:3000 */
  readonly url: string;
  /** Takes no new connection, answers what it has accepted, then closes; after 5 s in any case. */
  readonly close: () => Promise<void>;
}

/** The receiver answers within 4 s. */
const ANSWERED_WITHIN_MS = 5_000;

export interface ServerAddress {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface ServerOptions extends ServerAddress {
  readonly observe?: Observe;
  readonly metrics?: ServedMetrics | undefined;
}

/** @throws MoonguardError address_unavailable */
export async function startServer(
  moonguard: Served,
  { observe = () => {}, metrics, ...address }: ServerOptions,
): Promise<RunningServer> {
  return serve(createApp(moonguard, observe, metrics), address);
}

/** A server of the metrics alone, for a process that does not receive. @throws MoonguardError address_unavailable */
export async function startMetricsServer(
  metrics: ServedMetrics,
  { observe = () => {}, ...address }: Omit<ServerOptions, 'metrics'>,
): Promise<RunningServer> {
  return serve(createMetricsApp(metrics, observe), address);
}

async function serve(app: Hono, { host, port }: ServerAddress): Promise<RunningServer> {
  const answer = getRequestListener(app.fetch);
  const underWay = new Set<ServerResponse>();
  let closing = false;
  const server = createServer((request, response) => {
    underWay.add(response);
    response.once('close', () => underWay.delete(response));
    if (closing) response.setHeader('connection', 'close');
    void answer(request, response);
  });
  const url = await listen(server, port, host);
  return {
    url,
    close: async () => {
      closing = true;
      // A connection that is kept alive would hold the server open for seconds after its answer.
      for (const response of underWay) if (!response.headersSent) response.setHeader('connection', 'close');
      const closed = once(server, 'close');
      server.close();
      // Whoever sends a request so slowly gets no answer, and does not keep the rest from ending cleanly.
      const impatient = setTimeout(() => server.closeAllConnections(), ANSWERED_WITHIN_MS);
      await closed;
      clearTimeout(impatient);
    },
  };
}
