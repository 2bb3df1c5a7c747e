import type { ParquetQueryFilter } from 'hyparquet';
import { z } from 'zod';
import { identifier, oneOrMore, text } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { actionTypes, type PolicyLogEntry } from '../policy/policyLog.ts';
import { archivedEntry } from './archivedEntry.ts';
import { type ArchivedRow, readRow } from './columns.ts';
import { type KeyOf, listManifests, type Manifest } from './manifest.ts';
import type { FileRow, ReadableParquet } from './parquetFile.ts';
import type { ArchiveTarget } from './target.ts';
import { openRows } from './verifyArchive.ts';

const archiveSearchSchema = z.strictObject({
  policyId: identifier.optional(),
  actionType: oneOrMore(actionTypes),
  customerId: identifier.optional(),
  transactionId: identifier.optional(),
  correlationId: identifier.optional(),
  retentionClass: identifier.optional(),
  /** Executed at this time or later. */
  from: z.date().optional(),
  /** Executed before this time. */
  to: z.date().optional(),
  /** Part of the reason or the notes, in whatever case. */
  text: text.optional(),
  limit: z.int().min(1).max(10_000).default(50),
});
export type ArchiveSearch = z.input<typeof archiveSearchSchema>;
type Search = z.output<typeof archiveSearchSchema>;

export interface FoundRow {
  /** Name of the manifest. */
  readonly archive: string;
  /** Its place in the log's tree. */
  readonly leafIndex: number;
  readonly entry: PolicyLogEntry;
}

/**
 * The newest rows that fit, the newest first.
 * @throws MoonguardError archive_search_invalid, archive_target_failed, archive_unreadable, archive_key_missing
 */
export async function searchArchives(target: ArchiveTarget, keyOf: KeyOf, input: ArchiveSearch): Promise<FoundRow[]> {
  const search = parseInput(archiveSearchSchema, input, 'archive_search_invalid');
  let found: FoundRow[] = [];
  const candidates = (await listManifests(target))
    .filter(({ manifest }) => mayHold(manifest, search))
    .toSorted((a, b) => (a.manifest.last_executed_at < b.manifest.last_executed_at ? 1 : -1));
  for (const candidate of candidates) {
    const oldest = found.at(search.limit - 1)?.entry.executedAt;
    if (oldest !== undefined && new Date(candidate.manifest.last_executed_at) < oldest) break;
    const file = await openRows({ ...candidate, target }, await keyOf(candidate.manifest));
    for await (const row of matchingRows(file, search)) {
      found.push({ archive: candidate.name, leafIndex: Number(row.index), entry: archivedEntry(row.content) });
      // Sorted now and then, not for each: what does not fit goes.
      if (found.length > 2 * search.limit) found = newest(found, search.limit);
    }
    found = newest(found, search.limit);
  }
  return found;
}

function newest(rows: readonly FoundRow[], limit: number): FoundRow[] {
  return rows
    .toSorted((a, b) => b.entry.executedAt.getTime() - a.entry.executedAt.getTime() || b.leafIndex - a.leafIndex)
    .slice(0, limit);
}

function mayHold(manifest: Manifest, { retentionClass, from, to }: Search): boolean {
  return (
    (retentionClass === undefined || manifest.retention_class === retentionClass) &&
    (from === undefined || new Date(manifest.last_executed_at) >= from) &&
    (to === undefined || new Date(manifest.first_executed_at) < to)
  );
}

/** Columns that are looked at first; of a row group in which none fits, the others are not read. */
async function* matchingRows(file: ReadableParquet, search: Search): AsyncGenerator<ArchivedRow> {
  const filter = filterOf(search);
  const columns = [...new Set([...filter.$and.flatMap(Object.keys), 'leaf_index', 'reason', 'notes'])];
  for (let group = 0; group < file.groups; group++) {
    const fitting = (await file.readGroup(group, { columns, filter })).filter((row) => holdsText(row, search.text));
    if (fitting.length === 0) continue;
    const leaves = new Set(fitting.map(({ leaf_index: leaf }) => leaf));
    for (const fileRow of await file.readGroup(group)) {
      const row = leaves.has(fileRow['leaf_index']) ? readRow(fileRow) : undefined;
      if (row !== undefined) yield row;
    }
  }
}

function filterOf(search: Search): { readonly $and: ParquetQueryFilter[] } {
  const { policyId, actionType, customerId, transactionId, correlationId, from, to } = search;
  const equal = {
    policy_id: policyId,
    customer_id: customerId,
    transaction_id: transactionId,
    correlation_id: correlationId,
  };
  return {
    $and: [
      ...Object.entries(equal)
        .filter(([, value]) => value !== undefined)
        .map(([column, value]) => ({ [column]: { $eq: value } })),
      ...(actionType === undefined ? [] : [{ action_type: { $in: actionType } }]),
      ...(from === undefined ? [] : [{ executed_at: { $gte: microseconds(from) } }]),
      ...(to === undefined ? [] : [{ executed_at: { $lt: microseconds(to) } }]),
    ],
  };
}

function holdsText({ reason, notes }: FileRow, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  const part = wanted.toLowerCase();
  return [reason, notes].some((value) => typeof value === 'string' && value.toLowerCase().includes(part));
}

const microseconds = (time: Date): bigint => BigInt(time.getTime()) * 1_000n;
