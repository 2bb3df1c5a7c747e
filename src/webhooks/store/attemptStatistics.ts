import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AttemptStatistics, EndpointWindow } from '../statistics.ts';
import { attemptsIn } from './attemptsIn.ts';

export async function attemptStatistics(db: Db, window: EndpointWindow): Promise<AttemptStatistics> {
  const statistics = sql<AttemptStatistics>`(
    with chosen as materialized (select * from ${attemptsIn(window)} as attempts)
    select count(*) as attempts,
      count(*) filter (where is_delivered) as delivered,
      count(*) filter (where not is_delivered) as failed,
      round(100.0 * count(*) filter (where is_delivered) / nullif(count(*), 0), 2)::double precision as "successRate",
      jsonb_build_object(
        'p50', percentile_disc(0.5) within group (order by duration_ms),
        'p95', percentile_disc(0.95) within group (order by duration_ms),
        'p99', percentile_disc(0.99) within group (order by duration_ms)) as "durationMs",
      (select coalesce(jsonb_object_agg(error_class, failures), '{}') from (
        select error_class, count(*) as failures from chosen where error_class is not null group by error_class
      ) as classes) as "byErrorClass"
    from chosen)`;
  return db.selectFrom(statistics.as('statistics')).selectAll().executeTakeFirstOrThrow();
}
