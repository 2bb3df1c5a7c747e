import type { RetryPolicy } from '../webhooks/retryPolicy.ts';

/** 24 h: no receiver may put a delivery off for longer. */
const longestRetryAfterMs = 24 * 60 * 60 * 1000;

/**
 * How long to wait before the next attempt, in whole ms.
 * @param attemptsMade attempts that failed so far, at least 1
 * @param random in [0, 1)
 * @param notBeforeMs what the receiver asked for with Retry-After; the jitter comes on top of it, so that deliveries
 *   that were told the same time do not all come back at once
 */
export function nextAttemptDelayMs(policy: RetryPolicy, attemptsMade: number, random: number, notBeforeMs = 0): number {
  const backoff = Math.min(growth(policy, attemptsMade), policy.max_delay_ms);
  const jittered = backoff * (1 + policy.jitter * (2 * random - 1));
  return Math.floor(Math.max(jittered, notBeforeMs * (1 + policy.jitter * random)));
}

function growth({ backoff_strategy, initial_delay_ms }: RetryPolicy, attemptsMade: number): number {
  switch (backoff_strategy) {
    case 'exponential':
      // 2^30 ms is more than the longest delay a policy allows; without the limit 0 ms times infinity would be NaN.
      return initial_delay_ms * 2 ** Math.min(attemptsMade - 1, 30);
    case 'linear':
      return initial_delay_ms * attemptsMade;
    case 'fixed':
      return initial_delay_ms;
  }
}

/**
 * How long a Retry-After header (RFC 9110 section 10.2.3: seconds or a date) asks to wait, in ms, at most 24 h.
 * Undefined when there is nothing to wait for: no header, one that cannot be read, or a date that has passed.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const value = header.trim();
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : httpDateMs(value) - nowMs;
  return wait > 0 ? Math.min(wait, longestRetryAfterMs) : undefined;
}

/** NaN when it is no HTTP date. All three forms of RFC 9110 begin with the weekday and are in GMT, said or not. */
function httpDateMs(value: string): number {
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/i.test(value)) return Number.NaN;
  return Date.parse(/GMT$/i.test(value) ? value : `${value} GMT`);
}
