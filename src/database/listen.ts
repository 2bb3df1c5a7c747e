import type { PGlite } from '@electric-sql/pglite';
import { Client, type ClientConfig, escapeIdentifier } from 'pg';
import type { Observe } from '../observe/observation.ts';
import type { Database } from './database.ts';

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** How often the session is asked for a sign of life; one that has not answered by the next time is given up. */
const HEARTBEAT_MS = 15_000;

/** Listening on the embedded database, which has one session and no connection to lose. */
export function embeddedListen(pglite: PGlite): Database['listen'] {
  return async (channel, onNotify) => {
    const quoted = escapeIdentifier(channel);
    await pglite.listen(quoted, onNotify);
    // What `listen` returns forgets the quotes and so the case of the name.
    return () => pglite.unlisten(quoted, onNotify);
  };
}

/**
 * Listening on PostgreSQL: one session for all channels, outside the pool, opened by the first `listen`. NOTIFY does not
 * pass a pooler in transaction mode; there nothing ever arrives, and the poll of whoever listens is what is left.
 */
export class PostgresListener {
  readonly #config: ClientConfig;
  readonly #observe: Observe;
  readonly #heartbeatMs: number;
  readonly #handlers = new Map<string, Set<(payload: string) => void>>();
  #opening: Promise<void> | undefined;
  #session: Client | undefined;
  /** Set from the loss of the session until the next one is open. */
  #retry: NodeJS.Timeout | undefined;
  /** The last statement sent: a session takes one at a time. */
  #sent: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(config: ClientConfig, observe: Observe, { heartbeatMs = HEARTBEAT_MS } = {}) {
    this.#config = config;
    this.#observe = observe;
    this.#heartbeatMs = heartbeatMs;
  }

  /** Rejects when the first session cannot be opened. While a lost one is being restored it resolves at once. */
  async listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    const handlers = this.#handlers.get(channel) ?? new Set();
    this.#handlers.set(channel, handlers.add(onNotify));
    const stop = async (): Promise<void> => {
      handlers.delete(onNotify);
      if (handlers.size > 0 || this.#handlers.get(channel) !== handlers) return;
      this.#handlers.delete(channel);
      // It fails when the session has just been lost, and then nothing listens. Nobody has to wait for it: a server that
      // went away without a word would not answer before the heartbeat gives it up.
      void this.#send(`unlisten ${escapeIdentifier(channel)}`).catch(() => {});
    };
    if (this.#retry !== undefined) return stop;
    try {
      this.#opening ??= this.#open();
      await this.#opening;
      await this.#send(`listen ${escapeIdentifier(channel)}`);
    } catch (error) {
      await stop();
      throw error;
    }
    return stop;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#handlers.clear();
    await this.#opening?.catch(() => {});
    await this.#session?.end();
  }

  async #open(): Promise<void> {
    const client = new Client(this.#config);
    let reason: string | undefined;
    client.on('error', (error) => {
      reason ??= error.message;
    });
    client.on('notification', ({ channel, payload }) => {
      for (const onNotify of this.#handlers.get(channel) ?? []) onNotify(payload ?? '');
    });
    try {
      await client.connect();
      for (const channel of this.#handlers.keys()) await client.query(`listen ${escapeIdentifier(channel)}`);
    } catch (error) {
      this.#opening = undefined;
      await client.end();
      throw error;
    }
    this.#session = client;
    const stopBeating = this.#beat(client, () => {
      reason ??= 'the server does not answer any more';
    });
    client.once('end', () => {
      stopBeating();
      this.#lose(reason ?? 'the server closed the connection');
    });
  }

  /** Nothing comes on a session that only listens, so that a half-open connection would go unnoticed. */
  #beat(client: Client, onSilence: () => void): () => void {
    let answered = true;
    const beat = setInterval(() => {
      if (answered) {
        answered = false;
        client.query('select').then(
          () => {
            answered = true;
          },
          () => {}, // the session is lost, and says so itself
        );
      } else {
        onSilence();
        // With a query under way this cuts the connection instead of taking leave.
        void client.end();
      }
    }, this.#heartbeatMs);
    return () => clearInterval(beat);
  }

  #lose(reason: string): void {
    this.#session = undefined;
    if (this.#closed) return;
    for (const channel of this.#handlers.keys()) this.#observe({ type: 'database.listen_lost', channel, reason });
    this.#restoreAfter(FIRST_RETRY_MS);
  }

  #restoreAfter(delayMs: number): void {
    this.#retry = setTimeout(() => {
      this.#opening = this.#open();
      this.#opening.then(
        () => this.#restored(),
        () => this.#closed || this.#restoreAfter(Math.min(delayMs * 2, LONGEST_RETRY_MS)),
      );
    }, delayMs);
  }

  #restored(): void {
    this.#retry = undefined;
    for (const [channel, handlers] of this.#handlers) {
      this.#observe({ type: 'database.listen_restored', channel });
      for (const onNotify of handlers) onNotify('');
    }
  }

  #send(statement: string): Promise<void> {
    const sent = this.#sent.then(async () => {
      await this.#session?.query(statement);
    });
    this.#sent = sent.catch(() => {});
    return sent;
  }
}
