import type { Environment } from '../observe/observation.ts';
import { type DestinationRules, guardedLookup, type Resolve } from './destination.ts';
import type { ErrorClass } from './errorClass.ts';
import { ConnectionPools } from './http1/ConnectionPools.ts';
import type { ClientCertificate } from './http1/connect.ts';
import { Exchange, type ExchangeResult } from './http1/Exchange.ts';
import type { HeaderLines } from './http1/HeaderLines.ts';
import { parseTarget, type Target } from './target.ts';

/** Parsed URLs kept ready, about 0.5 kB each. */
const mostTargets = 10_000;

export interface SendRequest {
  readonly url: string;
  /** Of every request to this endpoint, but for host, content-length and connection; undefined when they are no headers. */
  readonly headers: HeaderLines | undefined;
  /** Of this request alone. Not checked: nothing that came from outside. */
  readonly signature: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Limit of the whole exchange, from name lookup to the last byte of the response. */
  readonly timeoutMs: number;
  readonly verifySsl: boolean;
  readonly clientCertificate?: ClientCertificate | undefined;
  readonly environment: Environment;
}

export type SendResult = ExchangeResult;

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
  const poolsWith = (rules: DestinationRules): ConnectionPools =>
    new ConnectionPools({ lookup: guardedLookup(rules, resolve), maxConnections });
  const publicOnly = poolsWith({ allowLoopback: false });
  const loopbackToo = poolsWith({ allowLoopback: true });
  const targets = new Map<string, Target>();
  let isClosed = false;

  const targetOf = (url: string): Target | undefined => {
    const known = targets.get(url);
    if (known !== undefined) return known;
    if (targets.size >= mostTargets) targets.clear();
    const target = parseTarget(url);
    if (target !== undefined) targets.set(url, target);
    return target;
  };

  return {
    send(request) {
      const { url, headers, signature, body, timeoutMs, environment } = request;
      const target = targetOf(url);
      if (target === undefined) return refusal('request_invalid', 'not an http or https URL');
      if (headers === undefined) return refusal('request_invalid', 'not every header is a valid one');
      if (isClosed) return refusal('other', 'the sender was closed');
      const { literal, requestLines, server } = target;
      const loopback = allowLoopback(environment);
      if (literal !== undefined && !literal.isPublic && !(loopback && literal.isLoopback)) {
        return refusal('destination_refused', `${literal.address} is not a public address`);
      }
      let head = requestLines + headers.text;
      for (const name in signature) head += `${name}: ${signature[name]}\r\n`;
      const exchange = new Exchange(`${head}content-length: ${body.length}\r\n\r\n`, body, timeoutMs);
      (loopback ? loopbackToo : publicOnly).poolOf(server, request).begin(exchange);
      return exchange.result;
    },
    async close() {
      isClosed = true;
      publicOnly.close();
      loopbackToo.close();
    },
  };
}

/** What was not even begun. */
async function refusal(errorClass: ErrorClass, message: string): Promise<SendResult> {
  return { kind: 'failure', errorClass, message, durationMs: 0 };
}
