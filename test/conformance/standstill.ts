import { monitorEventLoopDelay } from 'node:perf_hooks';
import { onTestFinished } from 'vitest';

/**
 * Measures from now on how long this process stands still at a time; what it gives is the longest so far, in ms. Worker
 * and receiver are in it both: what is due meanwhile is sent late, and taken in later still.
 */
export function measureStandstill(): () => number {
  const histogram = monitorEventLoopDelay({ resolution: 10 });
  histogram.enable();
  onTestFinished(() => void histogram.disable());
  return () => histogram.max / 1e6;
}
