/** One column of a table for people. */
export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null | undefined;
  /** Numbers stand to the right. */
  readonly align?: 'right';
  /** Whether text may be cut where the terminal is too narrow. What somebody copies, such as an id, never is. */
  readonly mayCut?: boolean;
}

const GAP = '  ';
const NARROWEST_CUT = 12;

/**
 * A table as lines of text, without trailing space.
 * @param width columns of the terminal; Infinity where nobody looks at lines, such as in a file
 */
export function formatTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number): string[] {
  const cells = rows.map((row) => columns.map(({ value }) => oneLine(value(row))));
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, at) => Math.max(...[titles, ...cells].map((line) => line[at]?.length ?? 0)));
  cutToFit(widths, columns, width);
  return [titles, ...cells].map((line) =>
    line
      .map((text, at) => fit(text, widths[at] ?? 0, columns[at]?.align))
      .join(GAP)
      .trimEnd(),
  );
}

/** Takes from the widest column that may be cut until the table fits, or none can give any more. */
function cutToFit<Row>(widths: number[], columns: readonly Column<Row>[], width: number): void {
  const total = (): number => widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1);
  while (total() > width) {
    const widest = columns.reduce<number>((best, { mayCut }, at) => {
      const room = mayCut ? (widths[at] ?? 0) : 0;
      return room > NARROWEST_CUT && room > (widths[best] ?? 0) ? at : best;
    }, -1);
    if (widest === -1) return;
    widths[widest] = Math.max((widths[widest] ?? 0) - 1, NARROWEST_CUT);
  }
}

function fit(text: string, width: number, align: 'right' | undefined): string {
  const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text;
  return align === 'right' ? cut.padStart(width) : cut.padEnd(width);
}

export function oneLine(value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === '') return '–';
  return printable(String(value)).replaceAll(/\s+/g, ' ');
}

/** What somebody else wrote must not move the cursor or recolour the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '\u{fffd}');
}
