import type { Db } from '../database/database.ts';
import { entryOf, type LogEntry } from './entry.ts';
import type { EntryKind } from './entryKinds.ts';
import { listLeavesToVerify } from './store/listLeavesToVerify.ts';
import { listRemovedLeaves } from './store/listRemovedLeaves.ts';

const BATCH = 1_000;

/** A leaf of the database's, read for whoever verifies. */
export type StoredEntry =
  /** The entry is undefined when its row is gone. */
  | {
      readonly index: bigint;
      readonly kind: EntryKind;
      readonly rowId: string;
      readonly entry: LogEntry | undefined;
    }
  | { readonly index: bigint; readonly removedUntil: bigint };

/** All leaves from one index up to another, in the order of the tree. The transaction's TimeZone must be UTC. */
export async function* storedEntries(transaction: Db, from: bigint, to: bigint): AsyncGenerator<StoredEntry> {
  const removed = await listRemovedLeaves(transaction);
  let gaps = removed
    .map(({ start, end }) => ({ start: start < from ? from : start, end: end < to ? end : to }))
    .filter(({ start, end }) => start < end);
  let next = from;
  while (next < to) {
    const leaves = await listLeavesToVerify(transaction, next, BATCH);
    for (const { index, kind, rowId, row, salts, erased } of leaves) {
      if (index >= to) break;
      const before = gaps.filter(({ start }) => start < index);
      gaps = gaps.slice(before.length);
      yield* before.map(gapOf);
      yield { index, kind, rowId, entry: row === null ? undefined : entryOf(row, salts, erased ?? {}, kind) };
    }
    const last = leaves.at(-1);
    if (last === undefined || leaves.length < BATCH) break;
    next = last.index + 1n;
  }
  yield* gaps.map(gapOf);
}

function gapOf({ start, end }: { readonly start: bigint; readonly end: bigint }): StoredEntry {
  return { index: start, removedUntil: end };
}
