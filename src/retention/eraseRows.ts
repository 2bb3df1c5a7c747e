import { eraseEntry } from '../audit/entry.ts';
import type { Db } from '../database/database.ts';
import { type ErasedRow, erasePolicyLogs } from './store/erasePolicyLogs.ts';
import { type RowToErase, readRowsToErase } from './store/readRowsToErase.ts';

export interface Erasing {
  readonly runId: string;
  readonly reason: string;
  readonly rows: readonly Pick<RowToErase, 'id' | 'executedAt'>[];
}

/**
 * Erases what may be about a person in rows of the policy log; what the tree commits to stays, so that every proof does.
 * Belongs in a transaction that holds `lockRetention`.
 */
export async function eraseRows(transaction: Db, { rows: keys, ...why }: Erasing): Promise<void> {
  if (keys.length === 0) return;
  const rows = await readRowsToErase(transaction, keys);
  await erasePolicyLogs(transaction, { ...why, rows: rows.map(erased) });
}

function erased({ row, salts, ...key }: RowToErase): ErasedRow {
  if (salts === null) return { ...key, commitments: undefined, salts: undefined };
  return { ...key, ...eraseEntry(row, salts) };
}
