import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { Severity } from '../alert.ts';

export interface GroupRow {
  readonly id: string;
  readonly alerts: number;
  readonly undecided: number;
  readonly worst_severity: Severity;
  readonly customer_ids: string[];
  readonly newest_at: Date;
  /** `newest_at` with all the digits of the database. */
  readonly position: string;
}

export interface GroupQuery {
  readonly limit: number;
  /** The last group of the page before. */
  readonly after: Position | undefined;
}

/** Groups of several alerts of which somebody must still decide one, by the newest undecided alert in them. */
export async function listGroups(db: Db, { limit, after }: GroupQuery): Promise<GroupRow[]> {
  const { rows } = await sql<GroupRow>`
    with recursive joined (group_id, root) as (
      select group_id, into_group_id from moonguard.alert_group_joins
      union
      select joined.group_id, j.into_group_id from joined join moonguard.alert_group_joins j on j.group_id = joined.root
    ), roots as (
      -- A group is joined into an older one: the oldest it leads to is its root.
      select distinct on (group_id) group_id, root from joined order by group_id, root
    ), work as (
      select coalesce(roots.root, a.group_id, a.id) as id, max(a.triggered_at) as newest_at
      from public.moonpay_compliance_alerts a left join roots on roots.group_id = coalesce(a.group_id, a.id)
      where a.status in ('open', 'in_review', 'escalated')
      group by coalesce(roots.root, a.group_id, a.id)
    )
    select work.id, work.newest_at, to_jsonb(work.newest_at) #>> '{}' as position, members.*
    from work
    cross join lateral (
      select count(*)::integer as alerts,
        (count(*) filter (where m.status in ('open', 'in_review', 'escalated')))::integer as undecided,
        (array_agg(m.severity order by array_position('{critical,high,medium,low}', m.severity)))[1] as worst_severity,
        coalesce(array_agg(distinct m.customer_id) filter (where m.customer_id is not null), '{}') as customer_ids
      from moonguard.alerts_of_group(work.id) m
    ) members
    where members.alerts > 1
      and (${after === undefined} or (work.newest_at, work.id) < (${after?.at ?? null}::timestamptz, ${after?.id ?? null}::uuid))
    order by work.newest_at desc, work.id desc
    limit ${limit}
  `.execute(db);
  return rows;
}
