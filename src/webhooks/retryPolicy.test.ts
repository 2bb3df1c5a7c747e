import { describe, expect, test } from 'vitest';
import { retryPolicySchema } from './retryPolicy.ts';

const defaults = {
  max_attempts: 16,
  backoff_strategy: 'exponential',
  initial_delay_ms: 5000,
  max_delay_ms: 21_600_000,
  jitter: 0.2,
};

function problemsOf(policy: unknown): string[] {
  return (
    retryPolicySchema.safeParse(policy).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
  );
}

describe('retryPolicySchema', () => {
  test.each([[{}], [null], [undefined]])('%j is the default policy', (policy) => {
    expect(retryPolicySchema.parse(policy)).toEqual(defaults);
  });

  test('keeps what is given and fills in the rest', () => {
    expect(retryPolicySchema.parse({ max_attempts: 3, backoff_strategy: 'fixed' })).toEqual({
      ...defaults,
      max_attempts: 3,
      backoff_strategy: 'fixed',
    });
  });

  test.each([
    [{ maxAttempts: 4 }, { max_attempts: 4 }],
    // Retries are what comes after the first attempt.
    [{ max_retries: 3 }, { max_attempts: 4 }],
    [{ maxRetries: 0 }, { max_attempts: 1 }],
    [{ backoffStrategy: 'linear' }, { backoff_strategy: 'linear' }],
    [
      { initial_delay: 1000, max_delay: 30_000 },
      { initial_delay_ms: 1000, max_delay_ms: 30_000 },
    ],
    [
      { initialDelay: 1000, maxDelay: 30_000 },
      { initial_delay_ms: 1000, max_delay_ms: 30_000 },
    ],
    [
      { initialDelayMs: 1000, maxDelayMs: 30_000 },
      { initial_delay_ms: 1000, max_delay_ms: 30_000 },
    ],
    [{ jitter: true }, { jitter: 0.2 }],
    [{ jitter: false }, { jitter: 0 }],
    [{ max_attempts: undefined }, {}],
  ])('understands %j', (older, today) => {
    expect(retryPolicySchema.parse(older)).toEqual({ ...defaults, ...today });
  });

  test('leaves its own result as it is', () => {
    const policy = retryPolicySchema.parse({ maxRetries: 3, jitter: true });

    expect(retryPolicySchema.parse(policy)).toEqual(policy);
  });

  test.each<[unknown, string]>([
    [{ max_attempts: 0 }, 'max_attempts'],
    [{ max_attempts: 101 }, 'max_attempts'],
    [{ max_attempts: 2.5 }, 'max_attempts'],
    [{ max_attempts: '3' }, 'max_attempts'],
    [{ max_retries: null }, 'max_attempts'],
    [{ backoff_strategy: 'quadratic' }, 'backoff_strategy'],
    [{ initial_delay_ms: -1 }, 'initial_delay_ms'],
    [{ max_delay_ms: 7 * 24 * 60 * 60 * 1000 + 1 }, 'max_delay_ms'],
    [{ initial_delay_ms: 2000, max_delay_ms: 1999 }, 'max_delay_ms'],
    [{ jitter: 1.1 }, 'jitter'],
    [{ jitter: Number.NaN }, 'jitter'],
    [{ max_attempts: 3, maxRetries: 3 }, 'maxRetries'],
    ['exponential', ''],
    [[], ''],
  ])('refuses %j', (policy, field) => {
    expect(problemsOf(policy)).toEqual([expect.stringMatching(`^${field}: `)]);
  });

  test('names an unknown setting as it was written', () => {
    expect(problemsOf({ maxAtempts: 3 })).toEqual([': Unrecognized key: "maxAtempts"']);
    expect(problemsOf(JSON.parse('{"__proto__": {"max_attempts": 3}}'))).toEqual([': Unrecognized key: "__proto__"']);
  });
});
