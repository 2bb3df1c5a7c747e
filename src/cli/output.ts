import { type Column, formatTable, printable } from './table.ts';

/** Columns of the terminal; Infinity when the output goes into a file or a pipe. */
function outputWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
}

export function print(...lines: readonly string[]): void {
  for (const line of lines) console.log(line);
}

/** The one document that a program reads. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

export function printTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], whenEmpty: string): void {
  if (rows.length === 0) print(whenEmpty);
  else print(...formatTable(rows, columns, outputWidth()));
}

interface Page<Row> {
  readonly items: readonly Row[];
  readonly nextCursor: string | undefined;
}

export function printPage<Row>(page: Page<Row>, columns: readonly Column<Row>[], whenEmpty: string): void {
  printTable(page.items, columns, whenEmpty);
  if (page.nextCursor !== undefined) print('', `There are more: --cursor ${page.nextCursor}`);
}

/** The members of an object below each other: `webhookId` as "webhook id". What holds nothing is left out. */
export function printFields(fields: object): void {
  const shown = Object.entries(fields)
    .filter(([, value]) => !isNothing(value))
    .map(([name, value]) => ({ label: name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), value }));
  const width = Math.max(0, ...shown.map(({ label }) => label.length));
  for (const { label, value } of shown) {
    const text = fieldText(value).replaceAll('\n', `\n${' '.repeat(width + 2)}`);
    print(`${label.padEnd(width)}  ${text}`);
  }
}

/** To the second, in UTC, so that two people read the same. */
export function timeText(time: Date | null): string | undefined {
  return time?.toISOString().replace(/T(.*)\.\d+Z$/, ' $1Z');
}

/** `1 delivery`, `2 deliveries` */
export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  return typeof value === 'object' && !(value instanceof Date) && Object.keys(value).length === 0;
}

function fieldText(value: unknown): string {
  if (value instanceof Date) return timeText(value) ?? '';
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return printable(value.join(', '));
  return printable(JSON.stringify(value));
}
