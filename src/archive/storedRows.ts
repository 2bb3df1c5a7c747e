import { canonicalContent } from '../audit/canonicalContent.ts';
import { beginReading } from '../audit/store/beginReading.ts';
import type { Database } from '../database/database.ts';
import type { Archive } from './archive.ts';
import type { ArchivedRow } from './columns.ts';
import { type ArchiveScope, findFirstLeaf, listRowsToArchive } from './store/listRowsToArchive.ts';

/** Rows may have a megabyte each. */
const PAGE = 500;

export interface StoredScope extends ArchiveScope {
  readonly fromLeaf: number;
}

export function scopeOf({ retentionClass, month, fromLeaf, toLeaf }: Archive): StoredScope {
  return { retentionClass, month: `${month}-01`, fromLeaf, toLeaf };
}

/** The rows of an archive as the database has them now, in the order of the tree; each page in a transaction of its own. */
export async function* storedRows(
  database: Database,
  scope: StoredScope,
): AsyncGenerator<ArchivedRow & { readonly characters: number }> {
  let next = await findFirstLeaf(database.db, scope.month, scope.fromLeaf);
  while (next !== undefined) {
    const from: bigint = next;
    const page = await database.transaction(async (transaction) => {
      await beginReading(transaction);
      return listRowsToArchive(transaction, scope, from, PAGE);
    });
    for (const { row, ...leaf } of page) yield { ...leaf, content: canonicalContent(row), characters: row.length };
    const last = page.at(-1);
    next = page.length < PAGE || last === undefined ? undefined : last.index + 1n;
  }
}
