import { median } from '../../bench/statistics.ts';

/** What is watched over the soak. */
export interface Gauge {
  readonly name: string;
  readonly unit: 'MiB' | 'count';
  /** It may rise by so much: caches fill, pages are reused unevenly. */
  readonly allowance: number;
}

export interface Verdict {
  readonly gauge: Gauge;
  /** Median of the second third. */
  readonly before: number;
  /** Median of the last third. */
  readonly after: number;
  readonly isFlat: boolean;
}

const RISE_OF_LEVEL = 0.05;
/** In each third; with fewer the median says nothing. */
const LEAST_POINTS = 5;

/** What `judge` holds against, in words. */
export const rule = `the median of the last third is at most ${RISE_OF_LEVEL * 100} %, or the allowance, above that of the second third`;

/**
 * Whether a gauge stays where it is. The first third is warm-up: code is compiled, caches fill, tables reach the size that
 * retention keeps. Medians, because a vacuum or a peak of work in between is no growth.
 * @param values measured at even intervals
 * @returns undefined when there are too few to say
 */
export function judge(gauge: Gauge, values: readonly number[]): Verdict | undefined {
  const third = Math.floor(values.length / 3);
  if (third < LEAST_POINTS) return undefined;
  const before = median(values.slice(-2 * third, -third));
  const after = median(values.slice(-third));
  return { gauge, before, after, isFlat: after - before <= Math.max(gauge.allowance, before * RISE_OF_LEVEL) };
}
