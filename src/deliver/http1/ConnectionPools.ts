import type { LookupFunction } from 'node:net';
import { ConnectionPool } from './ConnectionPool.ts';
import { type ConnectRules, connectTo, type Server } from './connect.ts';

const SWEEP_MS = 1_000;

export interface ConnectionPoolsOptions {
  /** Gives out the addresses that connections may be made to. */
  readonly lookup: LookupFunction;
  /** Of one pool. */
  readonly maxConnections: number;
}

/** Pools that come with their first exchange, and go when nobody uses them. */
export class ConnectionPools {
  readonly #options: ConnectionPoolsOptions;
  readonly #pools = new Map<string, ConnectionPool>();
  #sweeps: NodeJS.Timeout | undefined;

  constructor(options: ConnectionPoolsOptions) {
    this.#options = options;
  }

  /** Exchanges whose rules differ share no connection, or a check made for one would hold for the other. */
  poolOf(server: Server, { verifySsl, clientCertificate }: Omit<ConnectRules, 'lookup'>): ConnectionPool {
    // The usual key is not put together anew for every exchange: that takes 0.5 µs.
    const isUsual = verifySsl && clientCertificate === undefined;
    const key = isUsual ? server.origin : `${server.origin} ${verifySsl} ${clientCertificate?.id ?? ''}`;
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const { lookup, maxConnections } = this.#options;
    const pool = new ConnectionPool(connectTo(server, { lookup, verifySsl, clientCertificate }), maxConnections);
    this.#pools.set(key, pool);
    this.#sweeps ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    return pool;
  }

  close(): void {
    clearInterval(this.#sweeps);
    for (const pool of this.#pools.values()) pool.close();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const [key, pool] of this.#pools) if (!pool.sweep(nowMs)) this.#pools.delete(key);
    if (this.#pools.size > 0) return;
    clearInterval(this.#sweeps);
    this.#sweeps = undefined;
  }
}
