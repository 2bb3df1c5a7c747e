import type { Database } from '../database/database.ts';
import { type ArchivedRow, readRow } from './columns.ts';
import type { ReadableParquet } from './parquetFile.ts';
import { countRowsOfArchive } from './store/countRowsOfArchive.ts';
import { type StoredScope, storedRows } from './storedRows.ts';

/**
 * Whether a file holds exactly the rows that the database has for it now.
 * @param proceed called after every so many rows; may throw
 */
export async function isSameAsStored(
  file: ReadableParquet,
  {
    database,
    scope,
    proceed,
  }: { readonly database: Database; readonly scope: StoredScope; readonly proceed: () => Promise<void> },
): Promise<boolean> {
  const stored = storedRows(database, scope);
  let compared = 0;
  for (let group = 0; group < file.groups; group++) {
    for (const fileRow of await file.readGroup(group)) {
      const { value } = await stored.next();
      if (value === undefined || !isSame(readRow(fileRow), value)) return false;
      compared++;
    }
    await proceed();
  }
  const { done } = await stored.next();
  return done === true && compared === (await countRowsOfArchive(database.db, scope));
}

function isSame(archived: ArchivedRow | undefined, { index, salts, erased, content }: ArchivedRow): boolean {
  return (
    archived !== undefined &&
    archived.index === index &&
    archived.erased === erased &&
    Buffer.compare(archived.salts, salts) === 0 &&
    archived.content.size === content.size &&
    Array.from(content).every(([name, json]) => archived.content.get(name) === json)
  );
}
