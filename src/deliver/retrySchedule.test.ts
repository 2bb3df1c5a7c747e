import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type RetryPolicy, retryPolicySchema } from '../webhooks/retryPolicy.ts';
import { nextAttemptDelayMs, retryAfterMs } from './retrySchedule.ts';

const hour = 60 * 60 * 1000;
/** The middle of the jitter: neither shorter nor longer. */
const middle = 0.5;

function policy(settings: Partial<RetryPolicy> = {}): RetryPolicy {
  return retryPolicySchema.parse({ jitter: 0, ...settings });
}

function delays(settings: Partial<RetryPolicy>, failures: number): number[] {
  return Array.from({ length: failures }, (_, index) => nextAttemptDelayMs(policy(settings), index + 1, middle));
}

// The edges often: that is where arithmetic goes wrong.
const anyDelay = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 168 * hour }));
const anyPolicy = fc
  .record({
    max_attempts: fc.integer({ min: 1, max: 100 }),
    backoff_strategy: fc.constantFrom('exponential', 'linear', 'fixed'),
    delays: fc.tuple(anyDelay, anyDelay),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ delays: [a, b], ...settings }) =>
    policy({ ...settings, initial_delay_ms: Math.min(a, b), max_delay_ms: Math.max(a, b) }),
  );
const anyRandom = fc.oneof(
  fc.constantFrom(0, 1 - Number.EPSILON),
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
);
const anyAttempts = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 1_000_000 }));

describe('nextAttemptDelayMs', () => {
  test('doubles, grows evenly or stays, up to the longest delay', () => {
    const settings = { initial_delay_ms: 1000, max_delay_ms: 5000 };

    expect(delays({ ...settings, backoff_strategy: 'exponential' }, 5)).toEqual([1000, 2000, 4000, 5000, 5000]);
    expect(delays({ ...settings, backoff_strategy: 'linear' }, 6)).toEqual([1000, 2000, 3000, 4000, 5000, 5000]);
    expect(delays({ ...settings, backoff_strategy: 'fixed' }, 3)).toEqual([1000, 1000, 1000]);
  });

  test('spreads the attempts of the default policy over about 23 hours', () => {
    const { max_attempts } = policy();
    const total = delays({}, max_attempts - 1).reduce((sum, delay) => sum + delay, 0);

    expect(total / hour).toBeGreaterThan(23);
    expect(total / hour).toBeLessThan(24);
  });

  test('stays within the jitter of the longest delay and is a whole number', () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempts, anyRandom, (any, attempts, random) => {
        const delay = nextAttemptDelayMs(any, attempts, random);

        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(any.max_delay_ms * (1 + any.jitter));
      }),
    );
  });

  test('is off the wait without jitter by no more than the jitter', () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempts, anyRandom, (any, attempts, random) => {
        const delay = nextAttemptDelayMs(any, attempts, random);
        const exact = nextAttemptDelayMs({ ...any, jitter: 0 }, attempts, random);

        // Both are rounded down to whole milliseconds.
        expect(delay).toBeGreaterThanOrEqual(Math.floor(exact * (1 - any.jitter)) - 1);
        expect(delay).toBeLessThanOrEqual((exact + 1) * (1 + any.jitter));
      }),
    );
  });

  test('never becomes longer when the longest delay is made shorter', () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempts, anyRandom, fc.nat(168 * hour), (any, attempts, random, cap) => {
        const capped = { ...any, max_delay_ms: Math.min(any.max_delay_ms, cap) };

        expect(nextAttemptDelayMs(capped, attempts, random)).toBeLessThanOrEqual(
          nextAttemptDelayMs(any, attempts, random),
        );
      }),
    );
  });

  test('never becomes shorter with further failures, jitter aside', () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempts, (any, attempts) => {
        const next = nextAttemptDelayMs(any, attempts + 1, middle);

        expect(next).toBeGreaterThanOrEqual(nextAttemptDelayMs(any, attempts, middle));
      }),
    );
  });

  test('spreads failures of the same moment over the whole jitter', () => {
    const jittery = policy({ initial_delay_ms: 5000, jitter: 0.2 });

    expect(nextAttemptDelayMs(jittery, 1, 0)).toBe(4000);
    expect(nextAttemptDelayMs(jittery, 1, 0.999_999)).toBe(5999);
  });

  test('brings a thousand failures of the same moment back over the whole jitter, not in one second', () => {
    const bySecond = new Map<number, number>();
    for (let failure = 0; failure < 1000; failure++) {
      const delay = nextAttemptDelayMs(policy({ initial_delay_ms: 60_000, jitter: 0.2 }), 1, failure / 1000);
      const second = Math.floor(delay / 1000);
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
    }

    expect(bySecond.size).toBe(24);
    expect(Math.max(...bySecond.values())).toBeLessThanOrEqual(42);
  });

  test('comes no sooner than the receiver asked, and no later than the jitter after that', () => {
    fc.assert(
      fc.property(anyPolicy, anyRandom, fc.integer({ min: 0, max: 24 * hour }), (any, random, notBeforeMs) => {
        const delay = nextAttemptDelayMs(any, 1, random, notBeforeMs);
        const without = nextAttemptDelayMs(any, 1, random);

        expect(delay).toBeGreaterThanOrEqual(Math.max(notBeforeMs, without));
        expect(delay).toBeLessThanOrEqual(Math.max(notBeforeMs * (1 + any.jitter), without));
      }),
    );
    const jittery = policy({ initial_delay_ms: 1000, jitter: 0.2 });
    expect(nextAttemptDelayMs(jittery, 1, 0, 7000)).toBe(7000);
    expect(nextAttemptDelayMs(jittery, 1, middle, 7000)).toBe(7700);
  });
});

describe('retryAfterMs', () => {
  const now = Date.UTC(2026, 10, 23, 12, 0, 0);

  test.each([
    ['7', 7000],
    [' 7 ', 7000],
    ['Mon, 23 Nov 2026 12:00:07 GMT', 7000],
    ['Monday, 23-Nov-26 12:00:07 GMT', 7000],
    ['Mon Nov 23 12:00:07 2026', 7000],
    ['1000000000', 24 * hour],
    ['9'.repeat(400), 24 * hour],
    ['Mon, 23 Nov 2099 12:00:00 GMT', 24 * hour],
  ])('%s is a wait of %i ms, whatever the time zone', (header, wait) => {
    vi.stubEnv('TZ', 'Asia/Kolkata');
    onTestFinished(() => void vi.unstubAllEnvs());

    expect(retryAfterMs(header, now)).toBe(wait);
  });

  test.each([
    '0',
    '-7',
    '7.5',
    '1e3',
    'abc',
    '',
    '7 s',
    'Mon, 23 Nov 2026 11:59:59 GMT',
    'Mon, 99 Nov 2026 12:00:07 GMT',
    '2027-01-01',
    'Monday',
  ])('%j is ignored', (header) => expect(retryAfterMs(header, now)).toBeUndefined());

  test('is undefined without a header', () => expect(retryAfterMs(undefined, now)).toBeUndefined());

  const anyHeader = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer().map(String),
    fc.bigInt().map(String),
    fc.double().map(String),
    fc.date().map((date) => date.toUTCString()),
    fc
      .tuple(fc.constantFrom('Mon', 'sunday', 'Fri, '), fc.string({ unit: 'grapheme-ascii' }))
      .map(([weekday, rest]) => `${weekday} ${rest}`),
  );

  test('is undefined or between 0 and 24 h, whatever the header says', () => {
    fc.assert(
      fc.property(anyHeader, (header) => {
        const wait = retryAfterMs(header, now) ?? 1;

        expect(wait).toBeGreaterThan(0);
        expect(wait).toBeLessThanOrEqual(24 * hour);
      }),
    );
  });

  test('is the same in seconds and as a date', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 9 }), (seconds) => {
        const wait = Math.min(seconds * 1000, 24 * hour);

        expect(retryAfterMs(String(seconds), now)).toBe(wait);
        expect(retryAfterMs(new Date(now + seconds * 1000).toUTCString(), now)).toBe(wait);
      }),
    );
  });

  test('makes the next attempt wait a number of milliseconds in any case, at most 24 h or the policy, and the jitter', () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempts, anyRandom, anyHeader, (any, attempts, random, header) => {
        const delay = nextAttemptDelayMs(any, attempts, random, retryAfterMs(header, now));

        expect(Number.isSafeInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(Math.max(any.max_delay_ms, 24 * hour) * (1 + any.jitter));
      }),
    );
  });
});
