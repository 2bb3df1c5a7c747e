import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Backtest } from '../backtest.ts';
import { selectBacktests } from './selectBacktests.ts';

export interface BacktestsWanted {
  readonly policyId?: string | undefined;
  /** Id of the backtest with which the page before ended. */
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** The newest first. */
export function listBacktests(db: Db, { policyId, cursor, limit }: BacktestsWanted): Promise<Backtest[]> {
  const ofPolicy = policyId === undefined ? sql`true` : sql`b.policy_id = ${policyId}`;
  const before = cursor === undefined ? sql`true` : sql`b.id < ${cursor}`;
  return selectBacktests(db, sql`where ${ofPolicy} and ${before} order by b.id desc limit ${limit}`);
}
