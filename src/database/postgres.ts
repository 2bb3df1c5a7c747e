import { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import { type ClientConfig, Pool } from 'pg';
import type { Observe } from '../observe/observation.ts';
import type { Database, Db } from './database.ts';
import { PostgresListener } from './listen.ts';
import { pgTypes } from './parsers.ts';
import { preparing } from './preparedStatements.ts';
import { runTransaction } from './transaction.ts';

export interface PostgresOptions {
  /** `postgresql://user:password@host:port/database`, with `?sslmode=…` where the server wants TLS. */
  readonly databaseUrl: string;
  /** Connections of the pool; one more, outside it, listens. Default 10. */
  readonly maxConnections?: number;
  /** Milliseconds to wait for a connection, new or from the pool. Default 5000. */
  readonly connectionTimeoutMs?: number;
  /**
   * Milliseconds until the server cancels a statement. Default 30000; 0 leaves it to the server's own setting. PgBouncer
   * refuses connections that ask for this or for `idleInTransactionTimeoutMs`: give both as 0 there.
   */
  readonly statementTimeoutMs?: number;
  /** Milliseconds a transaction may stay open without a statement before the server ends it. Default 60000; 0 as above. */
  readonly idleInTransactionTimeoutMs?: number;
  /**
   * Milliseconds after which a connection of the pool on which no byte moves is cut: it is one whose other end went away
   * without a word, which TCP alone notices after a quarter of an hour. Default: 5000 more than a statement or an idle
   * transaction may take. Migrating is spared.
   */
  readonly silenceTimeoutMs?: number;
  /** What `pg_stat_activity` shows. Default `moonguard`. */
  readonly applicationName?: string;
}

/** The first webhook after a quiet moment should not wait for a new session, which plans every function anew. */
const IDLE_TIMEOUT_MS = 60_000;

export function openPostgres(options: PostgresOptions, observe: Observe): Database {
  const { statementTimeoutMs = 30_000, idleInTransactionTimeoutMs = 60_000 } = options;
  const { silenceTimeoutMs = Math.max(statementTimeoutMs, idleInTransactionTimeoutMs, 60_000) + 5_000 } = options;
  const config: ClientConfig = {
    connectionString: options.databaseUrl,
    application_name: options.applicationName ?? 'moonguard',
    connectionTimeoutMillis: options.connectionTimeoutMs ?? 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: pgTypes,
  };
  let unhurried = 0;
  const pool = new Pool({
    ...config,
    max: options.maxConnections ?? 10,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
    stream: () => socketThatEndsWhenSilent(silenceTimeoutMs, () => unhurried > 0),
  });
  // A connection that is lost while idle, or checked out between two statements, is reported by an event, which without
  // a listener would end the process. Whoever needs the connection next sees the failure or gets a new one.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));

  const db: Db = new Kysely({ dialect: new PostgresDialect({ pool: preparing(pool) }) });
  const listener = new PostgresListener(config, observe);
  let closing: Promise<unknown> | undefined;
  return {
    kind: 'postgres',
    db,
    transaction: (work, within) => runTransaction(db, work, within),
    listen: (channel, onNotify) => listener.listen(channel, onNotify),
    // Without parameters `pg` uses the simple protocol, in which several statements are one transaction.
    runScript: async (sqlText) => {
      await pool.query(sqlText);
    },
    unhurried: async (work) => {
      unhurried++;
      try {
        return await work();
      } finally {
        unhurried--;
      }
    },
    close: async () => {
      closing ??= Promise.all([listener.close(), pool.end()]);
      await closing;
    },
  };
}

/** The option query_timeout of `pg` would give up on the query and hand the dead connection to the next one. */
function socketThatEndsWhenSilent(silenceTimeoutMs: number, isSpared: () => boolean): Socket {
  const socket = new Socket();
  socket.setTimeout(silenceTimeoutMs);
  socket.on('timeout', () => {
    if (isSpared()) {
      socket.setTimeout(silenceTimeoutMs);
      return;
    }
    const silent = new Error(`Nothing came from the database for ${silenceTimeoutMs} ms.`);
    socket.destroy(Object.assign(silent, { code: 'ETIMEDOUT' }));
  });
  return socket;
}
