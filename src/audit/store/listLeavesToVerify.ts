import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface StoredLeaf {
  readonly index: bigint;
  readonly salts: Buffer;
  readonly rowId: string;
  /** As to_jsonb gives it; null when there is no such row. */
  readonly row: string | null;
}

/** Up to `limit` leaves from an index on, with their rows. The transaction's TimeZone must be UTC. */
export async function listLeavesToVerify(transaction: Db, from: bigint, limit: number): Promise<StoredLeaf[]> {
  const { rows } = await sql<Omit<StoredLeaf, 'index'> & { index: string }>`
    select a.leaf_index::text as index, a.salts, a.row_id as "rowId", coalesce(
      (select to_jsonb(l) from public.moonpay_policy_logs l where l.id = a.row_id and l.executed_at = a.executed_at),
      -- Somebody changed the time: looked for in every partition.
      (select to_jsonb(l) from public.moonpay_policy_logs l where l.id = a.row_id limit 1))::text as row
    from moonguard.audit_leaves a where a.leaf_index >= ${String(from)} order by a.leaf_index limit ${limit}
  `.execute(transaction);
  return rows.map((row) => ({ ...row, index: BigInt(row.index) }));
}
