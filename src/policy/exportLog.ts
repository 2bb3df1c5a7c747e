import type { Db } from '../database/database.ts';
import { parseInput } from '../input/parseInput.ts';
import { conditionsOf, type PolicyLogExportInput, policyLogExportSchema } from './policyLogFilter.ts';
import { exportLogRows } from './store/exportLogRows.ts';
import { listLogColumns } from './store/listLogColumns.ts';

export const exportFormats = ['csv', 'ndjson'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** Rows that are in memory at a time. */
const PAGE = 1_000;

/**
 * The rows of the log that fit, the newest first, a line each; of CSV (RFC 4180, with CR LF) the first says the columns.
 * Numbers and times have all the digits that the database keeps.
 * @throws MoonguardError policy_log_invalid
 */
export async function* exportLog(db: Db, input: PolicyLogExportInput, format: ExportFormat): AsyncGenerator<string> {
  const { text, ...filter } = parseInput(policyLogExportSchema, input, 'policy_log_invalid');
  const query = { conditions: conditionsOf(filter), text, limit: PAGE };
  const columns = format === 'csv' ? await listLogColumns(db) : [];
  if (format === 'csv') yield csvLine(columns);
  let after: { at: string; id: string } | undefined;
  do {
    const rows = await exportLogRows(db, { ...query, after }, columns);
    for (const { json, cells } of rows) yield format === 'csv' ? csvLine(cells) : `${json}\n`;
    const last = rows.length === PAGE ? rows.at(-1) : undefined;
    after = last && { at: last.position, id: last.id };
  } while (after !== undefined);
}

function csvLine(cells: readonly (string | null)[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

/**
 * Nothing for no value, "" for empty text. A spreadsheet would run what begins as a formula: an apostrophe before it makes it
 * text; one that was there gets another, so that taking one away always gives back what was stored.
 */
function csvCell(value: string | null): string {
  if (value === null) return '';
  const text = /^[=+\-@\t\r\n']/.test(value) ? `'${value}` : value;
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
