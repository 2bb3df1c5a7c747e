import { describe, expect, test } from 'vitest';
import { deliverySettingsSchema } from './deliverySettings.ts';

const defaults = {
  verify_ssl: true,
  timeout_ms: 15_000,
  rate_limit_per_second: null,
  ordering: 'none',
  payload: 'provider',
};

function problemsOf(settings: unknown): string[] {
  return (
    deliverySettingsSchema
      .safeParse(settings)
      .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
  );
}

describe('deliverySettingsSchema', () => {
  test.each([[{}], [null], [undefined]])('%j is the default', (settings) => {
    expect(deliverySettingsSchema.parse(settings)).toEqual(defaults);
  });

  test.each([
    [
      { verify_ssl: false, ordering: 'entity', payload: 'envelope' },
      { verify_ssl: false, ordering: 'entity', payload: 'envelope' },
    ],
    [{ rate_limit_per_second: 0.5 }, { rate_limit_per_second: 0.5 }],
    [{ timeout: 30 }, { timeout_ms: 30_000 }],
    [{ timeout: 0.3 }, { timeout_ms: 300 }],
    [{ timeoutMs: 500 }, { timeout_ms: 500 }],
    [{ verifySsl: false }, { verify_ssl: false }],
    [{ verifySSL: false }, { verify_ssl: false }],
    [{ ssl_verification: false }, { verify_ssl: false }],
    [{ sslVerification: false }, { verify_ssl: false }],
    [{ rateLimitPerSecond: 10 }, { rate_limit_per_second: 10 }],
  ])('understands %j', (given, today) => {
    expect(deliverySettingsSchema.parse(given)).toEqual({ ...defaults, ...today });
  });

  test.each<[unknown, string]>([
    [{ timeout_ms: 99 }, 'timeout_ms'],
    [{ timeout_ms: 60_001 }, 'timeout_ms'],
    [{ timeout: 30_000 }, 'timeout_ms: .* in seconds'],
    [{ timeout: '30' }, 'timeout_ms'],
    [{ timeout: 30, timeoutMs: 30_000 }, 'timeoutMs'],
    [{ verify_ssl: 'no' }, 'verify_ssl'],
    [{ rate_limit_per_second: 0 }, 'rate_limit_per_second'],
    [{ rate_limit_per_second: -1 }, 'rate_limit_per_second'],
    [{ ordering: 'strict' }, 'ordering'],
    [{ payload: 'json' }, 'payload'],
    [{ follow_redirects: true }, ': Unrecognized key: "follow_redirects"'],
    ['fast', ''],
  ])('refuses %j', (settings, problem) => {
    expect(problemsOf(settings)).toEqual([expect.stringMatching(`^${problem}`)]);
  });
});
