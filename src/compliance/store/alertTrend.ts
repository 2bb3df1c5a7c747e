import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { undecidedStatuses } from '../alert.ts';
import type { AlertTrendDay, AlertTrendWindow } from '../alertStatistics.ts';
import { windowOf } from './alertWindow.ts';

/** As the days are counted: without the severities that none has. */
type CountedDay = Omit<AlertTrendDay, 'bySeverity'> & {
  readonly bySeverity: Readonly<Partial<AlertTrendDay['bySeverity']>>;
};

export async function alertTrend(db: Db, window: AlertTrendWindow): Promise<CountedDay[]> {
  const { since, until } = windowOf(window);
  const { rows } = await sql<CountedDay>`
    with days as (
      select day::date from generate_series((${since} at time zone 'UTC')::date,
        ((${until} - interval '1 microsecond') at time zone 'UTC')::date, interval '1 day') as day
      order by day desc limit 1500
    ), counted as (
      select day, severity, status, alerts from moonguard.alert_day_counts where day >= (select min(day) from days)
      union all
      select day, severity, status, change from moonguard.alert_count_changes
    ), by_severity as (
      select day, severity, sum(alerts)::bigint as alerts,
        coalesce(sum(alerts) filter (where status in (${sql.join(undecidedStatuses)})), 0)::bigint as undecided
      from counted group by day, severity
    )
    select days.day, coalesce(sum(alerts), 0)::bigint as alerts, coalesce(sum(undecided), 0)::bigint as undecided,
      coalesce(jsonb_object_agg(severity, alerts) filter (where severity is not null), '{}') as "bySeverity"
    from days left join by_severity using (day) group by days.day order by days.day
  `.execute(db);
  return rows;
}
