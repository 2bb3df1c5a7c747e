import type { Observation, Observe } from '../../src/observe/observation.ts';

const DEADLINE_MS = 10_000;

/** Records what code reports, and lets a test wait for it. */
export interface Observed {
  /** To be given to the code under test. */
  readonly observe: Observe;
  /** Everything reported so far. */
  readonly all: readonly Observation[];
  /**
   * The next observation that fits, among those reported already and those to come. Each is handed out once, so asking
   * again waits for another one. Rejects after 10 seconds.
   */
  readonly next: {
    <T extends Observation>(fits: (observation: Observation) => observation is T): Promise<T>;
    (fits: (observation: Observation) => boolean): Promise<Observation>;
  };
}

export function observed(): Observed {
  const all: Observation[] = [];
  const unclaimed: Observation[] = [];
  const waiting: { fits: (observation: Observation) => boolean; resolve: (observation: Observation) => void }[] = [];

  const observe: Observe = (observation) => {
    all.push(observation);
    const index = waiting.findIndex(({ fits }) => fits(observation));
    const [waiter] = index === -1 ? [] : waiting.splice(index, 1);
    if (waiter === undefined) unclaimed.push(observation);
    else waiter.resolve(observation);
  };

  const next = (fits: (observation: Observation) => boolean): Promise<Observation> => {
    const index = unclaimed.findIndex(fits);
    const [found] = index === -1 ? [] : unclaimed.splice(index, 1);
    if (found !== undefined) return Promise.resolve(found);
    return withDeadline(
      new Promise((resolve) => waiting.push({ fits, resolve })),
      () => `waited for ${fits.toString()}; reported were: ${JSON.stringify(all)}`,
    );
  };

  return { observe, all, next };
}

/** The promise, or an error once `deadlineMs` have passed: a test that hangs says what it waited for. */
export async function withDeadline<T>(
  promise: Promise<T>,
  explain: () => string,
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => deadline.reject(new Error(`Nothing within ${deadlineMs} ms: ${explain()}`)),
    deadlineMs,
  );
  try {
    return await Promise.race([promise, deadline.promise]);
  } finally {
    clearTimeout(timer);
  }
}
