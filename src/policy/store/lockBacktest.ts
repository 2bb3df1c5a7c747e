import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Backtest } from '../backtest.ts';
import { selectBacktests } from './selectBacktests.ts';

/**
 * A running backtest that nobody is at work on, for the time of the transaction; the one that waited longest.
 * @param backtestId only this one
 */
export async function lockBacktest(transaction: Db, backtestId: string | undefined): Promise<Backtest | undefined> {
  const wanted = backtestId === undefined ? sql`true` : sql`b.id = ${backtestId}`;
  const [backtest] = await selectBacktests(
    transaction,
    sql`where b.status = 'running' and ${wanted} order by b.id limit 1 for no key update skip locked`,
  );
  return backtest;
}
