/**
 * Runs the product under a constant stream of events and looks whether it stays as it is: memory, open handles, tables.
 * `npm run soak -- --help` says how. Ends with 1 when something grows.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startProcess } from '../bench/childProcess.ts';
import { monotonicMs } from '../bench/clock.ts';
import { startPostgres } from '../test/support/postgresServer.ts';
import { type Gauge, judge, rule } from './soak/flatness.ts';
import type { Measurement, ProductCall, Started } from './soak/product.ts';
import { startTraffic, type TrafficReport } from './soak/traffic.ts';

const usage = `npm run soak -- [options]

  --minutes N     how long (default 10); a fraction will do
  --every S       seconds between two lines (default: 60 lines in all, but at most 30 s)
  --rate R        events a second (default 50), each delivered to 4 endpoints: prompt, slow, flaky, and ill at times
  --database D    postgres (default), one of its own, or embedded
  --help          this text

What is old is removed every time a line is printed, so that tables reach a size and keep it. Flat means:
${rule}.
`;

const WEBHOOK_KEY = 'wk_test_soak0000000000000000000000';
/** Rows that are done are kept for this share of the run, so that tables have their size before they are judged. */
const KEPT_SHARE = 0.1;
const MIB = 1024 * 1024;

const gauges: readonly (Gauge & { readonly of: (measured: Measurement) => number | undefined })[] = [
  { name: 'rss', unit: 'MiB', allowance: 8, of: ({ rss }) => rss / MIB },
  { name: 'heap', unit: 'MiB', allowance: 2, of: ({ heap }) => heap / MIB },
  { name: 'handles', unit: 'count', allowance: 30, of: ({ resources }) => sum(Object.values(resources)) },
  { name: 'fds', unit: 'count', allowance: 30, of: ({ fileDescriptors }) => fileDescriptors },
  { name: 'tables', unit: 'MiB', allowance: 8, of: ({ tables }) => tables / MIB },
  { name: 'indexes', unit: 'MiB', allowance: 8, of: ({ indexes }) => indexes / MIB },
  { name: 'dead rows', unit: 'count', allowance: 20_000, of: ({ deadRows }) => deadRows },
  { name: 'events', unit: 'count', allowance: 2_000, of: ({ events }) => events },
  { name: 'pending', unit: 'count', allowance: 500, of: ({ pending }) => pending },
];

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    every: { type: 'string' },
    rate: { type: 'string', default: '50' },
    database: { type: 'string', default: 'postgres' },
    help: { type: 'boolean', default: false },
  },
});
async function soak(): Promise<boolean> {
  const durationMs = positive('minutes', options.minutes) * 60_000;
  const intervalMs =
    options.every === undefined ? Math.min(durationMs / 60, 30_000) : positive('every', options.every) * 1000;
  const rate = positive('rate', options.rate);
  const postgres = options.database === 'embedded' ? undefined : await startPostgres();
  const dataDirectory = mkdtempSync(join(tmpdir(), 'moonguard-soak-'));
  const traffic = await startTraffic(WEBHOOK_KEY);
  const product = startProcess<ProductCall, Started & Measurement>(new URL('./soak/product.ts', import.meta.url));
  try {
    const { url } = await product.call({
      do: 'start',
      options: {
        databaseUrl: postgres?.url(),
        dataDirectory,
        webhookKey: WEBHOOK_KEY,
        receiverUrls: traffic.receiverUrls,
        keepMs: durationMs * KEPT_SHARE,
      },
    });
    console.log(`${rate} events/s for ${durationMs / 60_000} minutes on ${options.database}`);
    printHeader();
    traffic.send(url, rate);
    const measured = await measureRepeatedly(durationMs, intervalMs, async (elapsedMs) => {
      const measurement = await product.call({ do: 'measure' });
      printLine(elapsedMs, measurement, traffic.report());
      return measurement;
    });
    await traffic.finish();
    await product.call({ do: 'stop' });
    return printVerdict(measured);
  } finally {
    await product.close();
    traffic.close();
    await postgres?.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

/** At even intervals; a measurement that takes longer than one is followed by the next at once. */
async function measureRepeatedly(
  durationMs: number,
  intervalMs: number,
  measure: (elapsedMs: number) => Promise<Measurement>,
): Promise<Measurement[]> {
  const measured: Measurement[] = [];
  const beganAtMs = monotonicMs();
  for (let dueMs = intervalMs; dueMs <= durationMs; dueMs += intervalMs) {
    await setTimeout(Math.max(0, beganAtMs + dueMs - monotonicMs()));
    measured.push(await measure(dueMs));
  }
  return measured;
}

const columns: readonly [name: string, width: number][] = [
  ['s', 5],
  ['acknowledged', 12],
  ['twice', 6],
  ['refused', 7],
  ['failed', 6],
  ['skipped', 7],
  ['requests', 8],
  ['p99 ms', 7],
  ...gauges.map(({ name }): [string, number] => [name, Math.max(name.length, 7)]),
];

function printRow(cells: readonly (number | string)[]): void {
  console.log(cells.map((cell, column) => String(cell).padStart(columns[column]?.[1] ?? 0)).join('  '));
}

function printHeader(): void {
  printRow(columns.map(([name]) => name));
}

function printLine(elapsedMs: number, measurement: Measurement, traffic: TrafficReport): void {
  const { acknowledged, duplicates, refused, failed, skipped, deliveries, p99Ms } = traffic;
  printRow([
    Math.round(elapsedMs / 1000),
    acknowledged,
    duplicates,
    refused,
    failed,
    skipped,
    deliveries,
    Number.isNaN(p99Ms) ? '' : p99Ms.toFixed(1),
    ...gauges.map((gauge) => shown(gauge, gauge.of(measurement))),
  ]);
}

function shown({ unit }: Gauge, value: number | undefined): string {
  return value === undefined ? '' : value.toFixed(unit === 'MiB' ? 1 : 0);
}

/** @returns whether everything that could be judged is flat */
function printVerdict(measured: readonly Measurement[]): boolean {
  console.log(`\nHandles at the end: ${JSON.stringify(measured.at(-1)?.resources)}`);
  console.log(`Flat: ${rule}.`);
  const verdicts = gauges.flatMap((gauge) => {
    const values = measured.map(gauge.of).filter((value) => value !== undefined);
    const verdict = judge(gauge, values);
    return verdict === undefined ? [] : [verdict];
  });
  if (verdicts.length === 0) console.log('Too few lines to say: run it for longer, or print more often.');
  for (const { gauge, before, after, isFlat } of verdicts) {
    const change = `${shown(gauge, before)} to ${shown(gauge, after)} ${gauge.unit}, allowance ${gauge.allowance}`;
    console.log(`  ${gauge.name.padEnd(10)}${isFlat ? 'flat ' : 'GROWS'}  ${change}`);
  }
  return verdicts.every(({ isFlat }) => isFlat);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} is a number above 0.`);
  return value;
}

if (options.help) console.log(usage);
else process.exitCode = (await soak()) ? 0 : 1;
