import type { BenchDatabase } from './database.ts';
import { median } from './statistics.ts';

/** What one round of one variant showed. */
export interface Measurement {
  /** In the variant's unit. */
  readonly figure: number;
  /** In milliseconds; where single requests were timed. */
  readonly times?: Percentiles;
  /** Milliseconds of processor time per 1,000 of what is counted. */
  readonly processorTime: ProcessorTime;
  /** Further figures, by names that hold their units. */
  readonly also?: Readonly<Record<string, number>>;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface ProcessorTime {
  /** Of the process that runs the variant. */
  readonly process: number;
  /** Of the database's own processes; undefined when it has none (embedded) or they are on another machine. */
  readonly database: number | undefined;
  /** Of the Redis that a variant keeps its queue in. */
  readonly redis?: number | undefined;
}

/** One way to do the work that a bench measures. */
export interface Variant {
  readonly name: string;
  /** Of its figure, where it is not the bench's. */
  readonly unit?: string;
  /** Once, in the variant's own process and with its own database. Both end without being told, and all that is opened with them. */
  readonly open: (database: BenchDatabase) => Promise<MeasureRound>;
}

/**
 * Prepares a round of `n`, measures it, and checks that nothing was lost; rejects when something was. Nothing works on
 * when it resolves: then it is another variant's turn.
 */
export type MeasureRound = (n: number) => Promise<Measurement>;

/** A bench: what `npm run bench -- <name>` runs. */
export interface Bench {
  readonly unit: string;
  /** The first one is ours. */
  readonly variants: readonly Variant[];
  /** Name of the variant that shows what the machine can do at most. */
  readonly limit: string;
  /** Variants that cannot be measured here, and why: a sentence each. */
  readonly leftOut?: readonly string[];
  /** Where a database of its own for each variant would cost too much: one for all of them, on PostgreSQL only. */
  readonly shared?: SharedDatabase;
  /** Of variants: the run fails when a median is beyond it, and N is not less than by default. */
  readonly bound?: Readonly<Record<string, number>>;
  /** The same for a median that is below it. */
  readonly least?: Readonly<Record<string, number>>;
  /** The same for a median that is below a share of another variant's. */
  readonly leastShare?: Readonly<Record<string, { readonly of: string; readonly share: number }>>;
}

export function unitOf({ unit, variants }: Bench, name: string): string {
  return variants.find((variant) => variant.name === name)?.unit ?? unit;
}

export interface SharedDatabase {
  /** Once, before a variant is opened. */
  readonly prepare: (databaseUrl: string) => Promise<void>;
  /** Once, after the last round: what stands below the table. */
  readonly explain: (databaseUrl: string) => Promise<string>;
}

export interface Summary {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Medians of the rounds. */
  readonly times: Percentiles | undefined;
  readonly processorTime: ProcessorTime;
  readonly also: Readonly<Record<string, number>>;
}

/** A variant that is open. */
export interface OpenVariant {
  readonly name: string;
  readonly measure: MeasureRound;
}

/** The most that is done to warm a variant up: its functions are compiled by then. */
const WARM_UP = 20_000;

/**
 * Measures every variant once a round, beside each other, so that what else the machine does meets all of them alike.
 * Every other round goes backwards: nobody always runs after the same one. Where there are several rounds, one that is
 * not counted comes before them.
 */
export async function runRounds(
  variants: readonly OpenVariant[],
  { n, rounds }: { readonly n: number; readonly rounds: number },
  onMeasured: (round: number, name: string, measurement: Measurement) => void,
): Promise<Summary[]> {
  if (rounds > 1) {
    for (const { measure } of variants) await measure(Math.min(n, WARM_UP));
  }
  const measured = new Map<string, Measurement[]>(variants.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, measure } of round % 2 === 1 ? variants : variants.toReversed()) {
      const measurement = await measure(n);
      measured.get(name)?.push(measurement);
      onMeasured(round, name, measurement);
    }
  }
  return Array.from(measured, ([name, measurements]) => summarize(name, measurements));
}

function summarize(name: string, measurements: readonly Measurement[]): Summary {
  const figures = measurements.map(({ figure }) => figure);
  const times = measurements.flatMap((measurement) => measurement.times ?? []);
  return {
    name,
    median: median(figures),
    min: Math.min(...figures),
    max: Math.max(...figures),
    times:
      times.length === 0
        ? undefined
        : {
            p50: median(times.map(({ p50 }) => p50)),
            p95: median(times.map(({ p95 }) => p95)),
            p99: median(times.map(({ p99 }) => p99)),
          },
    processorTime: {
      process: median(measurements.map(({ processorTime }) => processorTime.process)),
      database: medianOfKnown(measurements.map(({ processorTime }) => processorTime.database)),
      redis: medianOfKnown(measurements.map(({ processorTime }) => processorTime.redis)),
    },
    also: Object.fromEntries(
      Object.keys(measurements[0]?.also ?? {}).map((what) => [
        what,
        median(measurements.map(({ also }) => also?.[what] ?? Number.NaN)),
      ]),
    ),
  };
}

function medianOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}
