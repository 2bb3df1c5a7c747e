import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import type { BacktestReport } from '../backtestReport.ts';

export interface NewBacktest {
  readonly id: string;
  readonly policyId: string;
  readonly version: number;
  readonly comparedVersion: number | null;
  readonly environment?: Environment | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  readonly report: BacktestReport;
}

/**
 * Stores the backtest with what it is about at this moment, and wakes the backtesters. Its place is an id: those of events
 * begin with their time, so that a batch is read along the primary key. What came late was never decided, nor is it here.
 */
export async function beginBacktest(transaction: Db, backtest: NewBacktest, actor: string): Promise<void> {
  const { id, policyId, version, comparedVersion, environment = null, since = null, until = null, report } = backtest;
  await sql`
    with begun as (
      insert into moonguard.backtests (id, policy_id, version, compared_version, environment, since, until, report, created_by,
        total_count, after_event_id, last_event_id, status, finished_at)
      select ${id}::uuid, ${policyId}, ${version}::integer, ${comparedVersion}::integer, ${environment}, ${since}::timestamptz,
        ${until}::timestamptz, ${JSON.stringify(report)}::jsonb, coalesce(moonguard.current_actor(), ${actor}), count(*),
        rpad(left(replace(min(e.id::text collate "C"), '-', ''), 12), 32, '0')::uuid, max(e.id::text collate "C")::uuid,
        case when count(*) > 0 then 'running' else 'completed' end, case when count(*) = 0 then now() end
      from public.moonpay_webhook_events e
      where e.dedupe_key is not null and not e.is_late
        and (${environment}::text is null or e.environment = ${environment})
        and (${since}::timestamptz is null or e.received_at >= ${since})
        and (${until}::timestamptz is null or e.received_at < ${until})
      returning id
    )
    select pg_notify('moonguard_backtests', '') from begun
  `.execute(transaction);
}
