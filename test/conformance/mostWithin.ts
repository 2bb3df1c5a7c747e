/** The most of these times that lie within one window of so many ms, wherever it begins. */
export function mostWithin(windowMs: number, timesMs: readonly number[]): number {
  const sorted = timesMs.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [last, time] of sorted.entries()) {
    while (time - (sorted[first] ?? 0) >= windowMs) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
