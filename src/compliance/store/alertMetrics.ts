import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertMetrics, AlertTrendWindow, MetricsPart } from '../alertStatistics.ts';
import { windowOf } from './alertWindow.ts';

export type PartMetrics = AlertMetrics & { readonly name: string | null };

const names: Readonly<Record<MetricsPart, RawBuilder<string | null>>> = {
  type: sql`alert_type`,
  severity: sql`severity`,
  person: sql`coalesce(resolved_by, assigned_to)`,
};

export async function alertMetrics(db: Db, window: AlertTrendWindow): Promise<AlertMetrics> {
  const metrics = sql<AlertMetrics>`(select ${figures} from ${chosenIn(window, sql`null`)})`;
  return db.selectFrom(metrics.as('metrics')).selectAll().executeTakeFirstOrThrow();
}

export async function alertMetricsBy(db: Db, part: MetricsPart, window: AlertTrendWindow): Promise<PartMetrics[]> {
  const metrics = sql<PartMetrics>`(select name, ${figures} from ${chosenIn(window, names[part])} group by name)`;
  return db.selectFrom(metrics.as('metrics')).selectAll().orderBy('name').execute();
}

function chosenIn(window: AlertTrendWindow, name: RawBuilder<string | null>): RawBuilder<unknown> {
  const { since, until } = windowOf(window);
  return sql`(
    select ${name} as name, suppression_id, merged_into, suppression_id is null and merged_into is null as is_worked_on,
      status in ('resolved', 'dismissed') as is_decided, status = 'dismissed' as is_dismissed, breached_at is not null as is_breached,
      extract(epoch from first_reviewed_at - created_at) / 60 as first_review_minutes,
      case when status in ('resolved', 'dismissed') then extract(epoch from resolved_at - created_at) / 60 end as resolve_minutes
    from moonpay_compliance_alerts where triggered_at >= ${since} and triggered_at < ${until}
  ) as chosen`;
}

const spreadOf = (minutes: string): RawBuilder<unknown> => {
  const share = (of: number) =>
    sql`percentile_cont(${sql.lit(of)}) within group (order by ${sql.ref(minutes)}::double precision) filter (where is_worked_on)`;
  return sql`jsonb_build_object('median', ${share(0.5)}, 'p95', ${share(0.95)})`;
};

const figures = sql`
  count(*) as alerts, count(suppression_id) as suppressed, count(merged_into) as merged,
  count(*) filter (where is_worked_on and is_decided) as decided,
  ${spreadOf('first_review_minutes')} as "firstReviewMinutes", ${spreadOf('resolve_minutes')} as "resolveMinutes",
  round(100.0 * count(*) filter (where is_worked_on and is_breached)
    / nullif(count(*) filter (where is_worked_on), 0), 2)::double precision as "breachRate",
  round(100.0 * count(*) filter (where is_worked_on and is_dismissed)
    / nullif(count(*) filter (where is_worked_on and is_decided), 0), 2)::double precision as "falsePositiveRate"`;
