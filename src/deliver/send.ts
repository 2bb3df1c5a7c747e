import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type Dispatcher } from 'undici';
import type { Environment } from '../observe/observation.ts';
import { longestTimeoutMs } from '../webhooks/deliverySettings.ts';
import { guardedLookup, isLoopbackAddress, isPublicAddress, literalAddress, type Resolve } from './destination.ts';
import { type ErrorClass, errorClassOf, errorCode } from './errorClass.ts';

/** More of a response is not kept, and the connection is dropped. */
const longestBodyBytes = 16 * 1024;
/** Parsed URLs kept ready, about 0.5 kB each. */
const mostTargets = 10_000;
/** Rules and certificates whose connections are kept open. */
const mostAgents = 200;

/** What the sender shows to a receiver that asks for it (mTLS). The same id always stands for the same certificate. */
export interface ClientCertificate {
  readonly id: string;
  /** PEM: the certificate, then those that signed it. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface SendRequest {
  readonly url: string;
  /** Everything but host, content-length and connection, which are made here. */
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  /** Limit of the whole exchange, from name lookup to the last byte of the response. */
  readonly timeoutMs: number;
  readonly verifySsl: boolean;
  readonly clientCertificate?: ClientCertificate | undefined;
  readonly environment: Environment;
}

export type SendResult =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** The first 16 KiB as they came: not decompressed. */
      readonly body: Uint8Array;
      readonly bodyTruncated: boolean;
      readonly retryAfter: string | undefined;
      readonly durationMs: number;
    }
  | {
      readonly kind: 'failure';
      readonly errorClass: ErrorClass;
      readonly message: string;
      readonly durationMs: number;
    };

export interface SenderOptions {
  /** Whether endpoints of this environment may be on this machine. */
  readonly allowLoopback: (environment: Environment) => boolean;
  /** Connections to one origin at a time; further requests wait, and the wait counts towards their timeout. */
  readonly maxConnections?: number;
  /** Finds the addresses of a name; the system's resolver when not given. */
  readonly resolve?: Resolve;
}

export interface Sender {
  /** POSTs once, follows no redirect, never rejects. */
  readonly send: (request: SendRequest) => Promise<SendResult>;
  /** Closes every connection; what is still being sent fails with class `other`. */
  readonly close: () => Promise<void>;
}

export function createSender({ allowLoopback, maxConnections = 128, resolve }: SenderOptions): Sender {
  // Endpoints with different rules share no connection, or a check made for one would hold for the other.
  const agents = new Map<string, Agent>();
  const retiring = new Set<Agent>();

  const agentFor = ({ verifySsl, clientCertificate }: SendRequest, loopback: boolean): Agent => {
    const key = `${verifySsl} ${loopback} ${clientCertificate?.id ?? ''}`;
    let agent = agents.get(key);
    if (agent === undefined) {
      if (agents.size >= mostAgents) retireOldest();
      agent = new Agent({
        connections: maxConnections,
        pipelining: 1,
        allowH2: false,
        // The timer of the exchange bounds everything; these only give up connections that nobody waits for any more.
        connectTimeout: longestTimeoutMs,
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: {
          lookup: guardedLookup({ allowLoopback: loopback }, resolve),
          rejectUnauthorized: verifySsl,
          ...(clientCertificate && { cert: clientCertificate.cert, key: clientCertificate.key }),
        },
      });
    } else if (agents.size > 1) {
      // The one that was used last stands last.
      agents.delete(key);
    }
    agents.set(key, agent);
    return agent;
  };

  /** What it has begun it finishes. */
  const retireOldest = (): void => {
    for (const [key, agent] of agents) {
      agents.delete(key);
      retiring.add(agent);
      void agent.close().then(() => retiring.delete(agent));
      return;
    }
  };

  const targets = new Map<string, Target | undefined>();

  const targetOf = (url: string): Target | undefined => {
    if (targets.has(url)) return targets.get(url);
    if (targets.size >= mostTargets) targets.clear();
    const target = parseTarget(url);
    targets.set(url, target);
    return target;
  };

  const dispatch = (request: SendRequest, exchange: Exchange): void => {
    const target = targetOf(request.url);
    if (target === undefined) return exchange.fail('request_invalid', 'the URL cannot be parsed');
    const { origin, path, literal } = target;
    const loopback = allowLoopback(request.environment);
    if (literal !== undefined && !literal.isPublic && !(loopback && literal.isLoopback)) {
      return exchange.fail('destination_refused', `${literal.address} is not a public address`);
    }
    const { headers, body } = request;
    agentFor(request, loopback).dispatch({ origin, path, method: 'POST', headers, body }, exchange);
  };

  return {
    send(request) {
      const exchange = new Exchange(request.timeoutMs);
      dispatch(request, exchange);
      return exchange.result;
    },
    async close() {
      await Promise.all(Array.from([...agents.values(), ...retiring], (agent) => agent.destroy()));
    },
  };
}

/** Where a URL leads: parsing one and judging its address takes longer than signing a delivery. */
interface Target {
  readonly origin: string;
  readonly path: string;
  /** Set when its host is an address: no lookup will check it. */
  readonly literal: { readonly address: string; readonly isPublic: boolean; readonly isLoopback: boolean } | undefined;
}

function parseTarget(url: string): Target | undefined {
  const parsed = URL.parse(url);
  if (parsed === null) return undefined;
  const address = literalAddress(parsed.hostname);
  return {
    origin: parsed.origin,
    path: parsed.pathname + parsed.search,
    literal:
      address === undefined
        ? undefined
        : { address, isPublic: isPublicAddress(address), isLoopback: isLoopbackAddress(address) },
  };
}

/** One request and what has come back of it so far. Settles once, whatever undici reports afterwards. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly result: Promise<SendResult>;
  readonly #resolve: (result: SendResult) => void;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #chunks: Buffer[] = [];
  #ended = false;
  #bytes = 0;
  #status = 0;
  #retryAfter: string | undefined;
  #controller: Dispatcher.DispatchController | undefined;

  constructor(timeoutMs: number) {
    const { promise, resolve } = Promise.withResolvers<SendResult>();
    this.result = promise;
    this.#resolve = resolve;
    this.#timer = setTimeout(expire, timeoutMs, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // A request that timed out while it waited for a connection is not sent. Throwing leaves the connection open for
    // the next one, aborting would close it.
    if (this.#ended) throw new Error('timed out before a connection was free');
    this.#controller = controller;
  }

  /** Called for every informational response (1xx) as well; the final one comes last. */
  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    const retryAfter = headers['retry-after'];
    this.#retryAfter = Array.isArray(retryAfter) ? retryAfter[0] : retryAfter;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = longestBodyBytes - this.#bytes;
    this.#chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.#bytes += chunk.length;
    if (chunk.length > room) {
      this.#respond(true);
      this.#abort();
    }
  }

  onResponseEnd(): void {
    this.#respond(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.fail(errorClassOf(error), error.message || (errorCode(error) ?? error.name));
  }

  expire(): void {
    this.fail('timeout', 'no complete response in time');
    this.#abort();
  }

  fail(errorClass: ErrorClass, message: string): void {
    this.#end({ kind: 'failure', errorClass, message, durationMs: this.#durationMs() });
  }

  #respond(bodyTruncated: boolean): void {
    this.#end({
      kind: 'response',
      status: this.#status,
      body: Buffer.concat(this.#chunks),
      bodyTruncated,
      retryAfter: this.#retryAfter,
      durationMs: this.#durationMs(),
    });
  }

  #durationMs(): number {
    return performance.now() - this.#startedAt;
  }

  #end(result: SendResult): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#resolve(result);
  }

  /** Gives up the connection, which still has something to send or to receive. */
  #abort(): void {
    this.#controller?.abort(new Error('ended by the sender'));
  }
}

/** A function of its own, so that a request needs no closure for its timer. */
function expire(exchange: Exchange): void {
  exchange.expire();
}
