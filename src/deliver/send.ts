import type { Environment } from '../observe/observation.ts';
import { guardedLookup, isLoopbackAddress, isPublicAddress, literalAddress, type Resolve } from './destination.ts';
import type { ErrorClass } from './errorClass.ts';
import { ConnectionPool } from './http1/ConnectionPool.ts';
import { connectTo, type Origin } from './http1/connect.ts';
import { Exchange, type ExchangeResult } from './http1/Exchange.ts';
import type { HeaderLines } from './http1/HeaderLines.ts';

/** Parsed URLs kept ready, about 0.5 kB each. */
const mostTargets = 10_000;
const sweepMs = 1_000;

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
  const lookups = {
    anywhere: guardedLookup({ allowLoopback: true }, resolve),
    publicOnly: guardedLookup({ allowLoopback: false }, resolve),
  };
  const targets = new Map<string, Target | undefined>();
  const pools = new Map<string, ConnectionPool>();
  let sweeps: NodeJS.Timeout | undefined;
  let isClosed = false;

  const targetOf = (url: string): Target | undefined => {
    const known = targets.get(url);
    if (known !== undefined) return known;
    if (targets.size >= mostTargets) targets.clear();
    const target = parseTarget(url);
    if (target !== undefined) targets.set(url, target);
    return target;
  };

  // Requests with different rules share no connection, or a check made for one would hold for the other.
  const poolOf = ({ origin, key }: Target, { verifySsl, clientCertificate }: SendRequest, loopback: boolean) => {
    const rules = `${verifySsl} ${loopback} ${clientCertificate?.id ?? ''} ${key}`;
    let pool = pools.get(rules);
    if (pool === undefined) {
      const lookup = loopback ? lookups.anywhere : lookups.publicOnly;
      pool = new ConnectionPool(connectTo(origin, { lookup, verifySsl, clientCertificate }), maxConnections);
      pools.set(rules, pool);
      sweeps ??= setInterval(sweep, sweepMs).unref();
    }
    return pool;
  };

  const sweep = (): void => {
    const nowMs = performance.now();
    for (const [rules, pool] of pools) if (!pool.sweep(nowMs)) pools.delete(rules);
    if (pools.size > 0) return;
    clearInterval(sweeps);
    sweeps = undefined;
  };

  return {
    send(request) {
      const { url, headers, signature, body, timeoutMs, environment } = request;
      const target = targetOf(url);
      if (target === undefined) return refusal('request_invalid', 'not an http or https URL');
      if (headers === undefined) return refusal('request_invalid', 'not every header is a valid one');
      if (isClosed) return refusal('other', 'the sender was closed');
      const { literal, requestLines } = target;
      const loopback = allowLoopback(environment);
      if (literal !== undefined && !literal.isPublic && !(loopback && literal.isLoopback)) {
        return refusal('destination_refused', `${literal.address} is not a public address`);
      }
      let head = requestLines + headers.text;
      for (const name in signature) head += `${name}: ${signature[name]}\r\n`;
      const exchange = new Exchange(`${head}content-length: ${body.length}\r\n\r\n`, body, timeoutMs);
      poolOf(target, request, loopback).begin(exchange);
      return exchange.result;
    },
    async close() {
      isClosed = true;
      clearInterval(sweeps);
      for (const pool of pools.values()) pool.close();
    },
  };
}

/** What was not even begun. */
async function refusal(errorClass: ErrorClass, message: string): Promise<SendResult> {
  return { kind: 'failure', errorClass, message, durationMs: 0 };
}

/** Where a URL leads: parsing one and judging its address takes longer than signing a delivery. */
interface Target {
  readonly origin: Origin;
  readonly key: string;
  /** The lines of a request's head that depend on nothing else. */
  readonly requestLines: string;
  /** Set when its host is an address: no lookup will check it. */
  readonly literal: { readonly address: string; readonly isPublic: boolean; readonly isLoopback: boolean } | undefined;
}

function parseTarget(url: string): Target | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) return undefined;
  const { protocol, host, hostname, port, origin, pathname, search } = parsed;
  const isSecure = protocol === 'https:';
  const address = literalAddress(hostname);
  return {
    origin: { isSecure, host: address ?? hostname, port: port === '' ? (isSecure ? 443 : 80) : Number(port) },
    key: origin,
    requestLines: `POST ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`,
    literal:
      address === undefined
        ? undefined
        : { address, isPublic: isPublicAddress(address), isLoopback: isLoopbackAddress(address) },
  };
}
