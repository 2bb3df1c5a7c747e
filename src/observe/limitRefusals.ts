import type { Observation, Observe } from './observation.ts';

type Refusal = Extract<Observation, { type: 'event.refused' }>;

/**
 * Of refused webhooks lets the first of each environment and code through at once, and after each interval one that
 * stands for all that came meanwhile: whoever sends bad requests cannot fill the disk. After an interval without any the
 * next is a first one again. All other observations pass.
 */
export function limitRefusals(observe: Observe, intervalMs = 60_000): Observe {
  /** By kind, what came since its last line; undefined while there is nothing. */
  const since = new Map<string, Refusal | undefined>();

  const begin = (kind: string): void => {
    since.set(kind, undefined);
    setTimeout(() => {
      const refusal = since.get(kind);
      since.delete(kind);
      if (refusal === undefined) return;
      observe(refusal);
      begin(kind);
    }, intervalMs).unref();
  };

  return (observation) => {
    if (observation.type !== 'event.refused') return observe(observation);
    const kind = `${observation.environment} ${observation.code}`;
    if (since.has(kind)) {
      since.set(kind, { ...observation, times: (since.get(kind)?.times ?? 0) + 1 });
    } else {
      observe(observation);
      begin(kind);
    }
  };
}
