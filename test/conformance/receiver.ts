import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { httpServer, httpsServer } from '../support/localServers.ts';
import { withDeadline } from '../support/signals.ts';

/** One request as it came in. */
export interface Arrival {
  /** Unix time in ms when its last byte was here. */
  readonly atMs: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the event, without the prefix of `webhook-id`. */
  readonly eventId: string;
  /** Which request of this event it is, from 1. */
  readonly attempt: number;
}

/** How a receiver answers. */
export type Script = (response: ServerResponse, arrival: Arrival) => unknown;

/** Answers the requests of an event with these statuses in turn; the last one stands for all that follow. */
export function answering(...statuses: readonly [number, ...number[]]): Script {
  return (response, { attempt }) => {
    const status = statuses[Math.min(attempt, statuses.length) - 1] ?? statuses[0];
    response.writeHead(status).end();
  };
}

/** Answers as `script` says, but only every so many ms, then all that waits: a receiver that takes its time. */
export function unhurried(everyMs: number, script: Script): Script {
  const waiting: (() => unknown)[] = [];
  const beat = setInterval(() => {
    for (const answer of waiting.splice(0)) answer();
  }, everyMs);
  onTestFinished(() => clearInterval(beat));
  return (...request) => waiting.push(() => script(...request));
}

export interface Receiver {
  readonly url: string;
  readonly port: number;
  /** Every connection that was made to it, open or closed. */
  readonly connections: ReadonlySet<unknown>;
  /** In the order in which they came. */
  readonly arrivals: readonly Arrival[];
  /** Arrivals of one event. */
  readonly arrivalsOf: (eventId: string) => readonly Arrival[];
  /** All arrivals as soon as there are so many. */
  readonly arrived: (count: number, deadlineMs?: number) => Promise<readonly Arrival[]>;
}

/** A receiver on this machine, for as long as the test runs. With options of TLS it speaks that. */
export async function startReceiver(script: Script = answering(200), tls?: ServerOptions): Promise<Receiver> {
  const arrivals: Arrival[] = [];
  const byEvent = new Map<string, Arrival[]>();
  const waiting = new Set<() => void>();

  const answer: Parameters<typeof httpServer>[0] = async (request, response) => {
    const body = await buffer(request);
    const eventId = String(request.headers['webhook-id']).replace(/^evt_/, '');
    const before = byEvent.get(eventId) ?? [];
    const arrival = {
      atMs: performance.timeOrigin + performance.now(),
      headers: request.headers,
      body,
      eventId,
      attempt: before.length + 1,
    };
    byEvent.set(eventId, [...before, arrival]);
    arrivals.push(arrival);
    for (const check of waiting) check();
    await script(response, arrival);
  };
  const { url, port, connections } = await (tls === undefined ? httpServer(answer) : httpsServer(tls, answer));

  const arrived = (count: number, deadlineMs?: number): Promise<readonly Arrival[]> => {
    const { promise, resolve } = Promise.withResolvers<readonly Arrival[]>();
    const check = () => {
      if (arrivals.length < count) return;
      waiting.delete(check);
      resolve(arrivals);
    };
    waiting.add(check);
    check();
    return withDeadline(promise, () => `${arrivals.length} of ${count} requests have come`, deadlineMs);
  };
  return { url, port, connections, arrivals, arrivalsOf: (eventId) => byEvent.get(eventId) ?? [], arrived };
}
