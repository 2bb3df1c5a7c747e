import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface LeafOfRow {
  readonly row: string;
  /** Null while it is not in the tree. */
  readonly index: bigint | null;
  readonly salts: Buffer | null;
}

/** The leaf of a row of the policy log, by its log_id. The transaction's TimeZone must be UTC. */
export async function findLeafOf(transaction: Db, logId: string): Promise<LeafOfRow | undefined> {
  const { rows } = await sql<Omit<LeafOfRow, 'index'> & { index: string | null }>`
    select to_jsonb(l)::text as row, a.leaf_index::text as index, a.salts
    from public.moonpay_policy_logs l left join moonguard.audit_leaves a on a.row_id = l.id and a.executed_at = l.executed_at
    where l.log_id = ${logId} limit 1
  `.execute(transaction);
  const [leaf] = rows;
  return leaf === undefined ? undefined : { ...leaf, index: leaf.index === null ? null : BigInt(leaf.index) };
}
