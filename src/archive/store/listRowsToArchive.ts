import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Which rows an archive has. */
export interface ArchiveScope {
  readonly retentionClass: string;
  /** First day of the month, UTC. */
  readonly month: string;
  readonly toLeaf: number;
}

export interface RowToArchive {
  readonly index: bigint;
  readonly salts: Buffer;
  /** Commitments of groups that were erased, as JSON. */
  readonly erased: string | null;
  /** As to_jsonb gives it. */
  readonly row: string;
}

/** Up to `limit` rows from a leaf on, in the order of the tree. The transaction's TimeZone must be UTC. */
export async function listRowsToArchive(
  transaction: Db,
  { retentionClass, month, toLeaf }: ArchiveScope,
  from: bigint,
  limit: number,
): Promise<RowToArchive[]> {
  const { rows } = await sql<Omit<RowToArchive, 'index'> & { index: string }>`
    select a.leaf_index::text as index, a.salts, e.commitments::text as erased, to_jsonb(l)::text as row
    from moonguard.audit_leaves a
    join public.moonpay_policy_logs l on l.id = a.row_id and l.executed_at = a.executed_at
    left join moonguard.audit_erasures e on e.leaf_index = a.leaf_index
    where a.leaf_index >= ${String(from)} and a.leaf_index < ${toLeaf} and l.retention_class = ${retentionClass}
      and a.executed_at >= ${month}::timestamp at time zone 'UTC'
      and a.executed_at < (${month}::timestamp + interval '1 month') at time zone 'UTC'
    order by a.leaf_index limit ${limit}
  `.execute(transaction);
  return rows.map((row) => ({ ...row, index: BigInt(row.index) }));
}

/** The first leaf of a month from `from` on: the leaves before it need not be looked through. Undefined: there is none. */
export async function findFirstLeaf(db: Db, month: string, from: number): Promise<bigint | undefined> {
  const { rows } = await sql<{ index: string | null }>`
    select min(leaf_index)::text as index from moonguard.audit_leaves
    where leaf_index >= ${from} and executed_at >= ${month}::timestamp at time zone 'UTC'
      and executed_at < (${month}::timestamp + interval '1 month') at time zone 'UTC'
  `.execute(db);
  const [first] = rows;
  return first?.index === null || first === undefined ? undefined : BigInt(first.index);
}
