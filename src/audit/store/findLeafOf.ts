import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ErasedGroups } from '../entry.ts';
import type { EntryKind } from '../entryKinds.ts';

export interface LeafOfRow {
  readonly kind: EntryKind;
  readonly row: string;
  /** Null while it is not in the tree. */
  readonly index: bigint | null;
  readonly salts: Buffer | null;
  /** Null when nothing of it was erased. */
  readonly erased: ErasedGroups | null;
}

/** The leaf of a logged row, by its log_id or, of other kinds, its id. The transaction's TimeZone must be UTC. */
export async function findLeafOf(transaction: Db, logId: string): Promise<LeafOfRow | undefined> {
  // What has another id is not looked for: to plan it would take as long as to find the row.
  const byId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(logId)
    ? sql`
      union all select 'alert_timeline', id, at, to_jsonb(t) from moonguard.alert_timeline t where id = ${logId}::uuid
      union all select 'endpoint_change', id, at, to_jsonb(c) from moonguard.endpoint_changes c where id = ${logId}::uuid`
    : sql``;
  const { rows } = await sql<Omit<LeafOfRow, 'index'> & { index: string | null }>`
    with named as (
      (select 'policy_log' as kind, id, executed_at, to_jsonb(l) as row from public.moonpay_policy_logs l where log_id = ${logId} limit 1)
      ${byId}
    )
    select n.kind, n.row::text as row, a.leaf_index::text as index, a.salts, e.commitments as erased
    from named n left join moonguard.audit_leaves a on a.kind = n.kind and a.row_id = n.id and a.executed_at = n.executed_at
    left join moonguard.audit_erasures e on e.leaf_index = a.leaf_index
  `.execute(transaction);
  const [leaf] = rows;
  return leaf === undefined ? undefined : { ...leaf, index: leaf.index === null ? null : BigInt(leaf.index) };
}
