import type { BenchArguments } from './arguments.ts';
import { type Bench, type Percentiles, type Summary, unitOf } from './rounds.ts';

/** For people: each variant's figure, its share of the limit, the spread, and what it costs. */
export function resultTable(bench: Bench, summaries: readonly Summary[]): string {
  const { unit, limit } = bench;
  const reference = summaries.find(({ name }) => name === limit)?.median;
  const header = [
    '',
    unit,
    'of the limit',
    'min',
    'max',
    'p50 ms',
    'p95 ms',
    'p99 ms',
    'CPU ms/1000',
    'database',
    'redis',
  ];
  const rows = summaries.map(({ name, median, min, max, times, processorTime }) => [
    unitOf(bench, name) === unit ? name : `${name}, ${unitOf(bench, name)}`,
    short(median),
    reference === undefined || unitOf(bench, name) !== unit ? '' : (median / reference).toFixed(2),
    short(min),
    short(max),
    short(times?.p50),
    short(times?.p95),
    short(times?.p99),
    short(processorTime.process),
    short(processorTime.database),
    short(processorTime.redis),
  ]);
  const used = header.map((_, column) => rows.some((row) => row[column] !== ''));
  const table = alignColumns([header, ...rows].map((row) => row.filter((_, column) => used[column])));
  const further = summaries.flatMap(({ name, also }) =>
    Object.entries(also).map(([what, value]) => `${name}: ${what} ${short(value)}`),
  );
  return [table, ...further].join('\n');
}

/** For programs, in one line. */
export function resultJson(
  { bench, n }: BenchArguments,
  { unit, limit }: Bench,
  summaries: readonly Summary[],
): string {
  const variants = Object.fromEntries(
    summaries.map(({ name, median, min, max, times, processorTime, also }) => [
      name,
      { ...roundAll({ median, min, max, ...times, ...also }), cpuMsPer1000: roundAll(processorTime) },
    ]),
  );
  // Under one name in every bench, whatever its limit is made of.
  return JSON.stringify({ bench, n, unit, variants: { ...variants, limit: variants[limit] } });
}

/** Three digits say as much as a measurement can. */
function short(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function roundAll(values: Partial<Percentiles> | Readonly<Record<string, number | undefined>> | object) {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) =>
      typeof value === 'number' ? [[name, Math.round(value * 1000) / 1000]] : [],
    ),
  );
}

function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))),
    )
    .map((cells) => cells.join('  ').trimEnd())
    .join('\n');
}
