import { median } from './statistics.ts';

/** What one round of one variant showed. */
export interface Measurement {
  /** In the bench's unit. */
  readonly figure: number;
  /** In milliseconds; where single requests were timed. */
  readonly times?: Percentiles;
  /** Milliseconds of processor time per 1,000 of what is counted. */
  readonly processorTime: ProcessorTime;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface ProcessorTime {
  /** Of this process, which runs the variant. */
  readonly process: number;
  /** Of the database's own processes; undefined when it has none (embedded) or they are on another machine. */
  readonly database: number | undefined;
  /** Of the Redis that a variant keeps its queue in. */
  readonly redis?: number | undefined;
}

/** One way to do the work that a bench measures. */
export interface Variant {
  readonly name: string;
  /** Once, before the first round. */
  readonly open?: () => Promise<void>;
  /** Prepares a round, measures it, and checks that nothing was lost. Rejects when something was. */
  readonly measure: () => Promise<Measurement>;
  /** Once, after the last round; also when `open` or a round rejected. */
  readonly close?: () => Promise<void>;
}

/** A bench, set up: what `npm run bench -- <name>` runs. */
export interface Bench {
  readonly unit: string;
  /** The first one is ours. */
  readonly variants: readonly Variant[];
  /** Name of the variant that shows what the machine can do at most. */
  readonly limit: string;
  /** Variants that cannot be measured here, and why: a sentence each. */
  readonly leftOut?: readonly string[];
  readonly close: () => Promise<void>;
}

export interface Summary {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Medians of the rounds. */
  readonly times: Percentiles | undefined;
  readonly processorTime: ProcessorTime;
}

/**
 * Measures every variant once a round, beside each other, so that what else the machine does meets all of them alike.
 * Every other round goes backwards: nobody always runs after the same one.
 */
export async function runRounds(
  variants: readonly Variant[],
  rounds: number,
  onMeasured: (round: number, name: string, measurement: Measurement) => void,
): Promise<Summary[]> {
  try {
    for (const { open } of variants) await open?.();
    return await measureRounds(variants, rounds, onMeasured);
  } finally {
    for (const { close } of variants) await close?.();
  }
}

async function measureRounds(
  variants: readonly Variant[],
  rounds: number,
  onMeasured: (round: number, name: string, measurement: Measurement) => void,
): Promise<Summary[]> {
  const measured = new Map<string, Measurement[]>(variants.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, measure } of round % 2 === 1 ? variants : variants.toReversed()) {
      const measurement = await measure();
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
  };
}

function medianOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}
