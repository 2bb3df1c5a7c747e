import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { monotonicMs } from '../../bench/clock.ts';
import { percentile } from '../../bench/statistics.ts';
import { listen } from '../../src/http/listen.ts';
import { providerKeySecret } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { bodyOf, type ProviderEvent } from '../../src/simulate/providerEvent.ts';
import { playScenario, type ScenarioName } from '../../src/simulate/scenario.ts';
import { sendEvent } from '../../src/simulate/sendEvent.ts';

/** Stories with no end that a policy acts on: alerts are kept for good. */
const stories: readonly ScenarioName[] = ['buy', 'sell', 'duplicates', 'identity_approved', 'out_of_order'];

/** One in so many requests is signed with a key that nobody knows. */
const REFUSED_EVERY = 50;
/** More unanswered requests are not made: the server does not keep up with the rate. */
const MOST_UNANSWERED = 500;
/** The endpoint `ailing` is ill at the beginning of each such time, for so long. */
const AILING_EVERY_MS = 180_000;
const AILING_MS = 10_000;

/** Since the call before. */
export interface TrafficReport {
  readonly acknowledged: number;
  readonly duplicates: number;
  readonly refused: number;
  /** Answers with 5xx, and none. */
  readonly failed: number;
  /** Not sent, because too many requests waited for an answer. */
  readonly skipped: number;
  /** Requests that endpoints got. */
  readonly deliveries: number;
  /** From sending an event to its arrival at the endpoint that answers promptly, in ms; NaN without any. */
  readonly p99Ms: number;
}

/** Endpoints that answer well and badly, and MoonPay. */
export interface Traffic {
  readonly receiverUrls: readonly string[];
  /** Sends so many events a second until `close`. */
  readonly send: (serverUrl: string, eventsPerSecond: number) => void;
  readonly report: () => TrafficReport;
  /** Stops sending. Resolves when everything sent is answered. */
  readonly finish: () => Promise<void>;
  readonly close: () => void;
}

export async function startTraffic(webhookKey: string): Promise<Traffic> {
  let counts = { acknowledged: 0, duplicates: 0, refused: 0, failed: 0, skipped: 0, deliveries: 0 };
  let latencies: number[] = [];
  /** When each body was sent that has not arrived at the prompt endpoint. */
  const sentAtMs = new Map<string, number>();
  const startedAtMs = monotonicMs();

  const endpoints: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>> = {
    '/prompt': (_, response) => void response.end(),
    '/slow': (_, response) => void setTimeout(() => response.end(), 250),
    '/flaky': (request, response) => {
      const chance = Math.random();
      if (chance < 0.1) request.socket.resetAndDestroy();
      else response.writeHead(chance < 0.2 ? 500 : chance < 0.3 ? 429 : 200, { 'retry-after': '1' }).end();
    },
    '/ailing': (_, response) => {
      const isIll = (monotonicMs() - startedAtMs) % AILING_EVERY_MS < AILING_MS;
      response.writeHead(isIll ? 503 : 200).end();
    },
  };
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const arrivedAtMs = monotonicMs();
    const body = await buffer(request).catch(() => undefined);
    if (body === undefined) return;
    counts.deliveries++;
    const path = request.url ?? '';
    if (path === '/prompt') {
      const key = body.toString('latin1');
      const sentMs = sentAtMs.get(key);
      sentAtMs.delete(key);
      if (sentMs !== undefined) latencies.push(arrivedAtMs - sentMs);
    }
    endpoints[path]?.(request, response);
  };
  const receiver = createServer((request, response) => void take(request, response));
  const receiverUrl = await listen(receiver, 0, '127.0.0.1');

  const key = providerKeySecret('soak', webhookKey).key;
  const wrongKey = providerKeySecret('wrong', 'wk_test_nobody_knows_this').key;
  const unanswered = new Set<Promise<void>>();
  const events = tell();
  let sent = 0;
  const sendOne = async (serverUrl: string): Promise<void> => {
    const isWrong = ++sent % REFUSED_EVERY === 0;
    const event = events.next().value;
    if (!isWrong) sentAtMs.set(bodyOf(event).toString('latin1'), monotonicMs());
    const target = {
      serverUrl,
      environment: 'sandbox',
      key: isWrong ? wrongKey : key,
      runtime: systemRuntime,
    } as const;
    const answer = await sendEvent(event, target).catch(() => undefined);
    if (answer === undefined || answer.status >= 500) counts.failed++;
    else if (answer.eventId === null) counts.refused++;
    else if (answer.duplicate) counts.duplicates++;
    else counts.acknowledged++;
    if (answer?.eventId === null || answer?.duplicate !== false) sentAtMs.delete(bodyOf(event).toString('latin1'));
  };
  let timer: NodeJS.Timeout | undefined;
  return {
    receiverUrls: Object.keys(endpoints).map((path) => receiverUrl + path),
    send: (serverUrl, eventsPerSecond) => {
      const beganAtMs = monotonicMs();
      let due = 0;
      timer = setInterval(() => {
        const goal = ((monotonicMs() - beganAtMs) / 1000) * eventsPerSecond;
        for (; due < goal; due++) {
          if (unanswered.size >= MOST_UNANSWERED) {
            counts.skipped++;
            continue;
          }
          const answered = sendOne(serverUrl).finally(() => unanswered.delete(answered));
          unanswered.add(answered);
        }
      }, 10);
    },
    report: () => {
      const result = { ...counts, p99Ms: latencies.length === 0 ? Number.NaN : percentile(latencies, 0.99) };
      counts = { acknowledged: 0, duplicates: 0, refused: 0, failed: 0, skipped: 0, deliveries: 0 };
      latencies = [];
      return result;
    },
    finish: async () => {
      clearInterval(timer);
      await Promise.all(unanswered);
    },
    close: () => {
      receiver.closeAllConnections();
      receiver.close();
    },
  };
}

function* tell(): Generator<ProviderEvent, never> {
  for (;;) for (const name of stories) yield* playScenario(name, systemRuntime);
}
