import type { Kysely } from 'kysely';
import type { DB } from './schema.generated.ts';

/** A handle that runs queries: the database itself or a transaction in it. */
export type Db = Kysely<DB>;

/**
 * One database, whatever it runs on. Rows have the same shape everywhere (see `parsers.ts`). The embedded database is
 * one session: inside a transaction callback use only the transaction that is passed in, or the query waits for ever.
 * Queries of one transaction run one after the other, never in Promise.all.
 */
export interface Database {
  readonly kind: 'postgres' | 'embedded';
  readonly db: Db;

  /**
   * Commits when `work` resolves and rolls back when it rejects. With `within`, the caller's own transaction, `work`
   * joins it: nothing begins or ends here, so what `work` wrote stays or goes with the caller.
   */
  transaction<T>(work: (transaction: Db) => Promise<T>, within?: Db): Promise<T>;

  /**
   * Calls `onNotify` with the payload of every NOTIFY on the channel, from any process. A lost connection is restored
   * by itself; `onNotify` is then called once with an empty payload, because notifications may have been missed.
   * Resolves to what stops listening.
   */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>;

  /** Runs several statements as one transaction. */
  runScript(sqlText: string): Promise<void>;

  /** While `work` runs, nobody takes long silence for the loss of a connection: migrating a large table is silent. */
  unhurried<T>(work: () => Promise<T>): Promise<T>;

  /** Ends connections and releases the data directory. Queries fail afterwards. */
  close(): Promise<void>;
}
