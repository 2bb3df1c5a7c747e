import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { BacktestReport } from '../backtestReport.ts';

export interface BacktestProgress {
  readonly id: string;
  readonly evaluated: number;
  readonly skipped: number;
  readonly report: BacktestReport;
  /** Undefined: there was nothing more. */
  readonly lastEventId: string | undefined;
}

/** @returns whether the backtest is completed by it */
export async function saveBacktestProgress(transaction: Db, progress: BacktestProgress): Promise<boolean> {
  const { id, evaluated, skipped, report, lastEventId = null } = progress;
  const { rows } = await sql<{ isCompleted: boolean }>`
    update moonguard.backtests b
    set evaluated_count = b.evaluated_count + ${evaluated}, skipped_count = b.skipped_count + ${skipped},
      report = ${JSON.stringify(report)}::jsonb, after_event_id = coalesce(${lastEventId}::uuid, b.last_event_id),
      status = case when done.is_completed then 'completed' else b.status end,
      finished_at = case when done.is_completed then now() end
    from (select coalesce(${lastEventId}::uuid >= last_event_id, true) as is_completed from moonguard.backtests where id = ${id}) done
    where b.id = ${id}
    returning done.is_completed as "isCompleted"
  `.execute(transaction);
  return rows[0]?.isCompleted ?? false;
}
