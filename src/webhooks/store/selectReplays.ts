import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Replay } from '../replay.ts';

/** Replays as `Replay`, narrowed down by what follows FROM. What became of the deliveries is counted while it runs. */
export async function selectReplays(db: Db, narrowed: RawBuilder<unknown>): Promise<Replay[]> {
  const { rows } = await sql<Replay>`
    select r.id, c.webhook_id as "webhookId", r.statuses, r.event_patterns as "events", r.since, r.until,
      r.rate_per_second as "ratePerSecond", r.status, r.total_count as "totalCount", r.released_count as "releasedCount",
      r.skipped_count as "skippedCount", coalesce(now_.waiting, 0) as "waitingCount",
      coalesce(r.delivered_count, now_.delivered) as "deliveredCount",
      coalesce(r.filtered_count, now_.filtered) as "filteredCount",
      coalesce(r.failed_count, now_.failed) as "failedCount",
      case when r.status = 'running' then r.created_at + (now() - r.created_at)
        * (r.total_count / nullif(r.released_count - now_.waiting + r.skipped_count, 0)::double precision) end as "estimatedEndAt",
      r.created_by as "createdBy", r.created_at as "createdAt", r.finished_at as "finishedAt", r.cancelled_by as "cancelledBy"
    from moonguard.replays r
    left join public.moonpay_webhook_config c on c.id = r.endpoint_id
    left join lateral moonguard.replay_outcomes(r.id) now_ on r.status = 'running'
    ${narrowed}
  `.execute(db);
  return rows;
}
