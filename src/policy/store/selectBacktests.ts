import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Backtest } from '../backtest.ts';

/** Backtests, narrowed down by what follows FROM. */
export async function selectBacktests(db: Db, narrowed: RawBuilder<unknown>): Promise<Backtest[]> {
  const { rows } = await sql<Backtest>`
    select b.id, b.policy_id as "policyId", b.version, b.compared_version as "comparedVersion", b.environment, b.since, b.until,
      b.status, b.total_count as "totalCount", b.evaluated_count as "evaluatedCount", b.skipped_count as "skippedCount",
      b.report, b.failure, b.created_by as "createdBy", b.created_at as "createdAt", b.finished_at as "finishedAt",
      b.cancelled_by as "cancelledBy"
    from moonguard.backtests b
    ${narrowed}
  `.execute(db);
  return rows;
}
