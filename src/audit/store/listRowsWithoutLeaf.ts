import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Rows that were never noted for the tree, by log_id or id: whoever wrote them evaded the trigger. At most `limit`. */
export async function listRowsWithoutLeaf(db: Db, limit: number): Promise<string[]> {
  const { rows } = await sql<{ logId: string }>`
    select "logId" from (
      select 'policy_log' as kind, l.id, l.executed_at as at, l.log_id as "logId" from public.moonpay_policy_logs l
      union all select 'alert_timeline', t.id, t.at, t.id::text from moonguard.alert_timeline t
      union all select 'endpoint_change', c.id, c.at, c.id::text from moonguard.endpoint_changes c
    ) as logged
    where not exists (select from moonguard.audit_queue q where q.kind = logged.kind and q.row_id = logged.id and q.executed_at = logged.at)
      -- A leaf without its row at the time it says is compared with the one of another time; a second row is nobody's.
      and not exists (select from moonguard.audit_leaves a where a.kind = logged.kind and a.row_id = logged.id
        and (a.executed_at = logged.at or logged.kind <> 'policy_log'
          or not exists (select from public.moonpay_policy_logs o where o.id = a.row_id and o.executed_at = a.executed_at)))
    order by at, id limit ${limit}
  `.execute(db);
  return rows.map(({ logId }) => logId);
}
