import { expect, test } from 'vitest';
import { type Column, formatTable } from './table.ts';

interface Row {
  readonly id: string;
  readonly hits: number;
  readonly title: string | null;
}

const columns: readonly Column<Row>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'HITS', value: ({ hits }) => hits, align: 'right' },
  { title: 'TITLE', value: ({ title }) => title, mayCut: true },
];
const rows: readonly Row[] = [
  { id: 'alert_0199f2c4a1b27d3e', hits: 7, title: 'Transaction charged but not delivered' },
  { id: 'alert_2', hits: 1234, title: null },
];

test('aligns columns and shows what is missing', () => {
  expect(formatTable(rows, columns, Number.POSITIVE_INFINITY)).toEqual([
    'ID                      HITS  TITLE',
    'alert_0199f2c4a1b27d3e     7  Transaction charged but not delivered',
    'alert_2                 1234  –',
  ]);
});

test('cuts what may be cut until it fits', () => {
  const [, line = ''] = formatTable(rows, columns, 50);
  expect(line).toBe('alert_0199f2c4a1b27d3e     7  Transaction charged…');
  expect(line).toHaveLength(50);
});

test('never cuts an id, however narrow the terminal is', () => {
  const lines = formatTable(rows, columns, 10);
  expect(lines[1]).toBe('alert_0199f2c4a1b27d3e     7  Transaction…');
});

test('what somebody else wrote cannot break the line or steer the terminal', () => {
  const [, line = ''] = formatTable([{ id: 'a\nb', hits: 1, title: 'red \u001b[31m\u0007 alert' }], columns, 80);
  expect(line).toBe('a b     1  red \u{fffd}[31m\u{fffd} alert');
});
