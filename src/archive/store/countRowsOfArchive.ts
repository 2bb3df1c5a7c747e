import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ArchiveScope } from './listRowsToArchive.ts';

/** How many rows an archive must have: asked in another way than it is read, so that neither hides a mistake of the other. */
export async function countRowsOfArchive(db: Db, scope: ArchiveScope & { readonly fromLeaf: number }): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from public.moonpay_policy_logs l
    where l.retention_class = ${scope.retentionClass}
      and l.executed_at >= ${scope.month}::timestamp at time zone 'UTC'
      and l.executed_at < (${scope.month}::timestamp + interval '1 month') at time zone 'UTC'
      and exists (select from moonguard.audit_leaves a where a.row_id = l.id and a.leaf_index >= ${scope.fromLeaf} and a.leaf_index < ${scope.toLeaf})
  `.execute(db);
  return rows[0]?.count ?? 0;
}
