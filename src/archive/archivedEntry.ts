import { coveredColumns } from '../audit/entryKinds.ts';
import { decodePolicyLogEntry, type PolicyLogEntry, type PolicyLogRow } from '../policy/policyLog.ts';
import { isTimeColumn, type RowContent } from './columns.ts';

/** A row of an archive as the rest of the program sees rows of the log. */
export function archivedEntry(content: RowContent): PolicyLogEntry {
  const row: Record<string, unknown> = Object.fromEntries(coveredColumns('policy_log').map((column) => [column, null]));
  for (const [column, json] of content) {
    const value: unknown = JSON.parse(json);
    row[column] = isTimeColumn(column) ? new Date(String(value)) : value;
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns of the table, as they were when it was archived
  return decodePolicyLogEntry(row as unknown as PolicyLogRow);
}
