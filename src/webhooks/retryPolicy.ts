import { z } from 'zod';
import { longestTimeoutMs } from './deliverySettings.ts';
import { acceptOlderSpellings, type OlderSpelling } from './olderSpellings.ts';

/** 7 days, in ms. */
const longestDelayMs = 7 * 24 * 60 * 60 * 1000;

const delayMs = z.int().min(0).max(longestDelayMs);

const canonicalRetryPolicy = z
  .strictObject({
    /** Attempts in all, the first one included. */
    max_attempts: z.int().min(1).max(100).default(16),
    backoff_strategy: z.enum(['exponential', 'linear', 'fixed']).default('exponential'),
    /** Wait after the first failed attempt, in ms. */
    initial_delay_ms: delayMs.default(5000),
    /** No wait is longer than this (before jitter), in ms. */
    max_delay_ms: delayMs.default(6 * 60 * 60 * 1000),
    /** Share by which a wait is made randomly shorter or longer: 0.2 is ±20 %. */
    jitter: z.number().min(0).max(1).default(0.2),
    /** Where older installations had the timeout, in ms: the database moves it to delivery_settings, unless these are given too. */
    timeout: z.int().min(100).max(longestTimeoutMs).optional(),
  })
  .refine((policy) => policy.max_delay_ms >= policy.initial_delay_ms, {
    path: ['max_delay_ms'],
    error: 'max_delay_ms is less than initial_delay_ms',
  });

const olderSpellings = new Map<string, OlderSpelling>([
  // Retries come after the first attempt, so there is one attempt more.
  [
    'max_retries',
    { field: 'max_attempts', convert: (retries) => (typeof retries === 'number' ? retries + 1 : retries) },
  ],
  ['initial_delay', { field: 'initial_delay_ms' }],
  ['max_delay', { field: 'max_delay_ms' }],
  ['jitter', { field: 'jitter', convert: (jitter) => (typeof jitter === 'boolean' ? (jitter ? 0.2 : 0) : jitter) }],
]);

/**
 * When a failed delivery is tried again: 16 attempts over about 23 hours when nothing else is said. Accepts a partial
 * policy, camelCase and the older spellings `max_retries`, `initial_delay`, `max_delay`, `timeout` (ms) and boolean
 * `jitter`.
 */
export const retryPolicySchema = acceptOlderSpellings(canonicalRetryPolicy, olderSpellings);

export type RetryPolicy = Readonly<z.output<typeof retryPolicySchema>>;
