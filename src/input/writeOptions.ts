import type { Db } from '../database/database.ts';

/** What every method that writes takes last. */
export interface WriteOptions {
  /** The caller's transaction: what is written stays or goes with it. */
  readonly transaction?: Db | undefined;
  /** Who acts; default `system`. A verified identity of the database session (`request.jwt.claims`) goes before it. */
  readonly actor?: string | undefined;
}

/** What methods that only read take. On the embedded database, reads inside a transaction must be given it. */
export type ReadOptions = Pick<WriteOptions, 'transaction'>;

/** Who acts when nobody is named. */
export const SYSTEM_ACTOR = 'system';
