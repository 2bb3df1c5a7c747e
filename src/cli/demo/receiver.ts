import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import { listen } from '../../http/listen.ts';
import { nameEvent } from '../../receive/eventName.ts';
import { isGenuine } from './receivedDelivery.ts';

/** One delivery that came in, and how it was answered. */
export interface Arrival {
  readonly endpoint: string;
  readonly eventName: string;
  readonly attempt: number;
  readonly status: 200 | 401 | 500;
}

export interface DemoReceiver {
  /** Where an endpoint of this name is reached. */
  readonly urlOf: (endpoint: string) => string;
  readonly setSecret: (endpoint: string, secret: string) => void;
  readonly close: () => Promise<void>;
}

/** Every so manyth event is refused this often before it is taken, so that retries are to be seen. */
const TROUBLE_EVERY = 7;
const TROUBLE_TIMES = 2;

/**
 * The server of whoever the events are for, on this machine.
 * @param troubled the endpoint that sometimes answers 500
 */
export async function startReceiver(troubled: string, onArrival: (arrival: Arrival) => void): Promise<DemoReceiver> {
  const secrets = new Map<string, string>();
  /** How often each event that the troubled endpoint has not taken yet was refused, by its id. */
  const refusals = new Map<string, number>();
  let seen = 0;

  const answer = ({ headers, url }: IncomingMessage, body: Buffer): Arrival => {
    const endpoint = (url ?? '').slice(1);
    const eventName = eventNameOf(body);
    if (!isGenuine(headers, body, secrets.get(endpoint) ?? '')) return { endpoint, eventName, attempt: 1, status: 401 };
    if (endpoint !== troubled) return { endpoint, eventName, attempt: 1, status: 200 };

    const id = String(headers['webhook-id']);
    const refused = refusals.get(id) ?? 0;
    const isTroubled = refused > 0 || seen++ % TROUBLE_EVERY === 0;
    const attempt = refused + 1;
    if (isTroubled && refused < TROUBLE_TIMES) {
      refusals.set(id, attempt);
      return { endpoint, eventName, attempt, status: 500 };
    }
    refusals.delete(id);
    return { endpoint, eventName, attempt, status: 200 };
  };

  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const arrival = answer(request, body);
      response.writeHead(arrival.status).end();
      onArrival(arrival);
    });
  });
  const url = await listen(server, 0, '127.0.0.1');
  return {
    urlOf: (endpoint) => `${url}/${endpoint}`,
    setSecret: (endpoint, secret) => secrets.set(endpoint, secret),
    close: async () => {
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
}

const bodySchema = z.object({
  type: z.string(),
  data: z.object({ status: z.string().optional(), result: z.string().nullish() }),
});

function eventNameOf(body: Buffer): string {
  const { type, data } = bodySchema.parse(JSON.parse(body.toString()));
  return nameEvent({ type, status: data.status, result: data.result ?? undefined }).name;
}
