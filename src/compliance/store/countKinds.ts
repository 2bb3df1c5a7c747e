import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertWords } from '../alert.ts';

/** How many alerts are alike. */
export interface CountedKind {
  readonly alertType: AlertWords['alert_type'];
  readonly severity: AlertWords['severity'];
  readonly status: AlertWords['status'];
  readonly isAssigned: boolean;
  readonly isBreached: boolean;
  readonly isArchived: boolean;
  readonly alerts: number;
}

/** Those that are not worked on with another one: the counters and what is not folded into them yet. */
export async function countKinds(db: Db): Promise<CountedKind[]> {
  const kind = sql`alert_type, severity, status, is_assigned, is_breached, is_archived`;
  const { rows } = await sql<CountedKind>`
    select alert_type as "alertType", severity, status, is_assigned as "isAssigned", is_breached as "isBreached",
      is_archived as "isArchived", sum(alerts)::bigint as alerts
    from (
      select ${kind}, alerts from moonguard.alert_counts where not is_merged
      union all
      select ${kind}, change from moonguard.alert_count_changes where not is_merged
    ) as counted
    group by ${kind} having sum(alerts) <> 0
  `.execute(db);
  return rows;
}
