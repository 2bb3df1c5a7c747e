import type { ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { httpServer } from '../support/localServers.ts';
import { createWatch, type Watch } from './watch.ts';

/** One request that came with its whole body. */
export interface Arrival {
  /** Header `webhook-id`: the same for every request of one event. */
  readonly id: string;
  readonly body: Buffer;
  /** By performance.now(). */
  readonly atMs: number;
}

export interface RecordingReceiver {
  readonly url: string;
  /** In the order they came. */
  readonly arrivals: readonly Arrival[];
  /** Looks at every arrival. */
  readonly until: Watch['until'];
  /** Resolves when every one of these has come at least once. */
  readonly untilSeen: (ids: Iterable<string>) => Promise<void>;
}

/**
 * Takes every delivery and remembers it.
 * @param answer what to do with a request; default: 200 at once
 */
export async function startRecordingReceiver(
  answer: (response: ServerResponse) => void = (response) => void response.end(),
): Promise<RecordingReceiver> {
  const arrivals: Arrival[] = [];
  const { changed, until } = createWatch();
  const { url } = await httpServer(async (request, response) => {
    const atMs = performance.now();
    const body = await buffer(request).catch(() => undefined);
    if (body === undefined) return; // whoever sent it was killed half way
    arrivals.push({ id: String(request.headers['webhook-id']), body, atMs });
    answer(response);
    changed();
  });
  return {
    url,
    arrivals,
    until,
    untilSeen: (ids) => {
      const missing = new Set(ids);
      let looked = 0;
      const allSeen = (): boolean => {
        for (const { id } of arrivals.slice(looked)) missing.delete(id);
        looked = arrivals.length;
        return missing.size === 0;
      };
      return until(allSeen, () => `never delivered: ${[...missing].join(', ')}`);
    },
  };
}

/** The requests of each event. */
export function byId(arrivals: readonly Arrival[]): Map<string, Arrival[]> {
  return Map.groupBy(arrivals, ({ id }) => id);
}
