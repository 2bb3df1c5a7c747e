import { withDeadline } from '../support/signals.ts';

/** All that is waited for has to happen by itself; what was broken has been away for seconds, on busy cores. */
const DEADLINE_MS = 60_000;

/** Waits for what is seen to be true when something has changed. */
export interface Watch {
  /** Something has changed. */
  readonly changed: () => void;
  readonly until: (isTrue: () => boolean, explain: () => string) => Promise<void>;
}

export function createWatch(): Watch {
  const waiting = new Set<() => void>();
  return {
    changed: () => {
      for (const look of waiting) look();
    },
    until: async (isTrue, explain) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = (): void => {
        if (isTrue()) resolve();
      };
      waiting.add(look);
      look();
      await withDeadline(promise, explain, DEADLINE_MS).finally(() => waiting.delete(look));
    },
  };
}
