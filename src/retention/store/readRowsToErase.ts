import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface RowToErase {
  readonly id: string;
  readonly executedAt: string;
  /** As to_jsonb gives it. */
  readonly row: string;
  /** Both null while it is not in the tree. */
  readonly leafIndex: string | null;
  readonly salts: Buffer | null;
}

/** Rows of the policy log with their leaves. The transaction's TimeZone must be UTC. */
export async function readRowsToErase(
  transaction: Db,
  keys: readonly { readonly id: string; readonly executedAt: string }[],
): Promise<RowToErase[]> {
  const { rows } = await sql<RowToErase>`
    select l.id, given."executedAt", to_jsonb(l)::text as row, a.leaf_index::text as "leafIndex", a.salts
    from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as given (id uuid, "executedAt" text)
    join public.moonpay_policy_logs l on l.id = given.id and l.executed_at = given."executedAt"::timestamptz
    left join moonguard.audit_leaves a on a.row_id = l.id and a.executed_at = l.executed_at
  `.execute(transaction);
  return rows;
}
