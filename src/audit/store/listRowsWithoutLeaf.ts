import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** log_ids of rows that were never noted for the tree: whoever wrote them evaded the trigger. At most `limit`. */
export async function listRowsWithoutLeaf(db: Db, limit: number): Promise<string[]> {
  const { rows } = await sql<{ logId: string }>`
    select l.log_id as "logId" from public.moonpay_policy_logs l
    where not exists (select from moonguard.audit_queue q where q.row_id = l.id and q.executed_at = l.executed_at)
      -- A leaf without its row at the time it says is compared with the one of another time; a second row is nobody's.
      and not exists (select from moonguard.audit_leaves a where a.row_id = l.id and (a.executed_at = l.executed_at
        or not exists (select from public.moonpay_policy_logs o where o.id = a.row_id and o.executed_at = a.executed_at)))
    order by l.executed_at, l.id limit ${limit}
  `.execute(db);
  return rows.map(({ logId }) => logId);
}
