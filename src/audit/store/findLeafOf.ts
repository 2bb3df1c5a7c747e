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

/** The leaf of a logged row, by its log_id or, of other kinds, its id. */
export async function findLeafOf(db: Db, id: string): Promise<LeafOfRow | undefined> {
  const { rows } = await sql<Omit<LeafOfRow, 'index'> & { index: string | null }>`
    select kind, content as row, leaf_index::text as index, salts, erased from moonguard.leaf_of_logged(${id})
  `.execute(db);
  const [leaf] = rows;
  return leaf === undefined ? undefined : { ...leaf, index: leaf.index === null ? null : BigInt(leaf.index) };
}
