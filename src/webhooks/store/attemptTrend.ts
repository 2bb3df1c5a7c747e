import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { EndpointWindow, Trend, TrendPoint } from '../statistics.ts';
import { attemptsIn } from './attemptsIn.ts';

/** One point for every bucket from the one that `since` is in to the one before `until`. */
export async function attemptTrend(db: Db, window: EndpointWindow, trend: Trend): Promise<TrendPoint[]> {
  const { rows } = await sql<TrendPoint>`
    select at, coalesce(attempts, 0) as attempts, coalesce(delivered, 0) as delivered,
      coalesce(attempts - delivered, 0) as failed, p95
    from generate_series(date_trunc(${trend.bucket}, ${trend.since}::timestamptz, 'UTC'),
      ${trend.until}::timestamptz - interval '1 microsecond', make_interval(secs => ${trend.bucketSeconds})) as at
    left join (
      select date_trunc(${trend.bucket}, started_at, 'UTC') as at, count(*) as attempts,
        count(*) filter (where is_delivered) as delivered,
        percentile_disc(0.95) within group (order by duration_ms) as p95
      from ${attemptsIn(window)} as attempts
      group by 1
    ) as made using (at)
    order by at
  `.execute(db);
  return rows;
}
