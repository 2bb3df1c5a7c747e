import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Backtest } from '../backtest.ts';
import { selectBacktests } from './selectBacktests.ts';

export async function findBacktest(db: Db, backtestId: string): Promise<Backtest | undefined> {
  const [backtest] = await selectBacktests(db, sql`where b.id = ${backtestId}`);
  return backtest;
}
