import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { BacktestStatus } from '../backtest.ts';

/** Ends a running backtest: somebody cancels it, or it cannot go on. @returns the status it had before; undefined: there is no such backtest */
export async function endBacktest(
  transaction: Db,
  backtestId: string,
  end: { readonly cancelledBy: string } | { readonly failure: string },
): Promise<BacktestStatus | undefined> {
  const cancelledBy = 'cancelledBy' in end ? end.cancelledBy : null;
  const failure = 'failure' in end ? end.failure : null;
  const { rows } = await sql<{ status: BacktestStatus }>`
    with before as (select id, status from moonguard.backtests where id = ${backtestId} for no key update),
    ended as (
      update moonguard.backtests b
      set status = ${'failure' in end ? 'failed' : 'cancelled'}, finished_at = now(), failure = ${failure},
        cancelled_by = case when ${cancelledBy}::text is not null then coalesce(moonguard.current_actor(), ${cancelledBy}) end
      from before where b.id = before.id and before.status = 'running'
    )
    select status from before
  `.execute(transaction);
  return rows[0]?.status;
}
