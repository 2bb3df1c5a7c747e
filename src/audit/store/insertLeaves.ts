import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { EntryKind } from '../entryKinds.ts';

export interface NewLeaf {
  readonly index: bigint;
  readonly kind: EntryKind;
  readonly rowId: string;
  readonly executedAt: string;
  readonly salts: Buffer;
}

export async function insertLeaves(transaction: Db, leaves: readonly NewLeaf[]): Promise<void> {
  const given = leaves.map(({ index, kind, rowId, executedAt, salts }) => ({
    leaf_index: String(index),
    kind,
    row_id: rowId,
    executed_at: executedAt,
    salts: salts.toString('hex'),
  }));
  await sql`
    insert into moonguard.audit_leaves (leaf_index, kind, row_id, executed_at, salts)
    select leaf_index, kind, row_id, executed_at, decode(salts, 'hex')
    from json_to_recordset(${JSON.stringify(given)}::json) as given (leaf_index bigint, kind text, row_id uuid, executed_at timestamptz, salts text)
  `.execute(transaction);
}
