import { Connection, type ConnectionOwner } from './Connection.ts';
import type { Connect } from './connect.ts';
import type { Exchange } from './Exchange.ts';
import { Queue } from './Queue.ts';

const CLOSED = 'the sender was closed';
/** A pool that nobody uses keeps its TLS session for so long. */
const LONGEST_UNUSED_MS = 60_000;

/** The connections to one origin under one set of rules. */
export class ConnectionPool implements ConnectionOwner {
  readonly #connect: Connect;
  readonly #mostConnections: number;
  readonly #connections = new Set<Connection>();
  /** The one that was used last stands last, and is taken first: the others may close. */
  readonly #idle: Connection[] = [];
  /** May hold some that have timed out. */
  readonly #waiting = new Queue<Exchange>();
  #usedAtMs = 0;

  constructor(connect: Connect, mostConnections: number) {
    this.#connect = connect;
    this.#mostConnections = mostConnections;
  }

  begin(exchange: Exchange): void {
    this.#usedAtMs = exchange.beganAtMs;
    const connection = this.#takeIdle(exchange.beganAtMs);
    if (connection !== undefined) connection.begin(exchange);
    else if (this.#connections.size < this.#mostConnections) this.#open(exchange);
    else this.#waiting.push(exchange);
  }

  onFree(connection: Connection): void {
    const next = this.#takeWaiting();
    if (next === undefined) this.#idle.push(connection);
    else connection.begin(next);
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
    const place = this.#idle.indexOf(connection);
    if (place !== -1) this.#idle.splice(place, 1);
    const next = this.#takeWaiting();
    if (next !== undefined) this.#open(next);
  }

  /** Closes what has been idle for long enough. @returns whether the pool is of use to anybody */
  sweep(nowMs: number): boolean {
    for (const connection of this.#idle.filter(({ idleUntilMs }) => idleUntilMs <= nowMs)) connection.close();
    return this.#connections.size > 0 || nowMs - this.#usedAtMs < LONGEST_UNUSED_MS;
  }

  close(): void {
    for (let next = this.#takeWaiting(); next !== undefined; next = this.#takeWaiting()) next.fail('other', CLOSED);
    for (const connection of this.#connections) connection.close('other', CLOSED);
  }

  #open(exchange: Exchange): void {
    try {
      this.#connections.add(new Connection(this.#connect, exchange, this));
    } catch (error) {
      // A client certificate that OpenSSL does not take.
      if (!(error instanceof Error)) throw error;
      exchange.failWith(error);
    }
  }

  #takeIdle(nowMs: number): Connection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.idleUntilMs > nowMs) return connection;
      connection.close();
    }
  }

  #takeWaiting(): Exchange | undefined {
    for (;;) {
      const exchange = this.#waiting.shift();
      if (exchange?.hasEnded !== true) return exchange;
    }
  }
}
