import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ErasedGroups } from '../entry.ts';
import type { EntryKind } from '../entryKinds.ts';

export interface StoredLeaf {
  readonly index: bigint;
  readonly kind: EntryKind;
  readonly salts: Buffer;
  readonly rowId: string;
  /** As to_jsonb gives it; null when there is no such row. */
  readonly row: string | null;
  /** Null when nothing of it was erased. */
  readonly erased: ErasedGroups | null;
}

/** Up to `limit` leaves from an index on, with their rows. The transaction's TimeZone must be UTC. */
export async function listLeavesToVerify(transaction: Db, from: bigint, limit: number): Promise<StoredLeaf[]> {
  const { rows } = await sql<Omit<StoredLeaf, 'index'> & { index: string }>`
    select a.leaf_index::text as index, a.kind, a.salts, e.commitments as erased, a.row_id as "rowId", case a.kind
        when 'policy_log' then coalesce(
          (select to_jsonb(l) from public.moonpay_policy_logs l where l.id = a.row_id and l.executed_at = a.executed_at),
          -- Somebody changed the time: looked for in every partition.
          (select to_jsonb(l) from public.moonpay_policy_logs l where l.id = a.row_id limit 1))
        when 'alert_timeline' then (select to_jsonb(t) from moonguard.alert_timeline t where t.id = a.row_id)
        when 'endpoint_change' then (select to_jsonb(c) from moonguard.endpoint_changes c where c.id = a.row_id)
      end::text as row
    from moonguard.audit_leaves a left join moonguard.audit_erasures e on e.leaf_index = a.leaf_index
    where a.leaf_index >= ${String(from)} order by a.leaf_index limit ${limit}
  `.execute(transaction);
  return rows.map((row) => ({ ...row, index: BigInt(row.index) }));
}
