import { expect, test } from 'vitest';
import { readConfig } from './config.ts';
import { MoonguardError } from './errors.ts';

test('without any variable the defaults hold', () => {
  expect(readConfig({})).toMatchObject({
    databaseUrl: undefined,
    dataDirectory: './data',
    host: '127.0.0.1',
    port: 3000,
    webhookKeys: { sandbox: [], production: [] },
    signatureToleranceSeconds: 300,
    allowLoopbackDestinations: false,
  });
});

test('an empty variable counts as not set', () => {
  expect(readConfig({ DATABASE_URL: '', MOONGUARD_PORT: '' })).toMatchObject({ databaseUrl: undefined, port: 3000 });
});

test('lists of keys are split, and white space around a key is none of it', () => {
  expect(readConfig({ MOONPAY_WEBHOOK_KEYS_SANDBOX: ' wk_test_a , wk_test_b,' }).webhookKeys.sandbox).toEqual([
    'wk_test_a',
    'wk_test_b',
  ]);
});

test('all that is wrong is reported at once, by variable', () => {
  const wrong = {
    DATABASE_URL: 'mysql://somewhere',
    MOONGUARD_PORT: '70000',
    MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: 'perhaps',
    MOONGUARD_LOG_LEVEL: 'loud',
  };
  const attempt = (): unknown => readConfig(wrong);
  expect(attempt).toThrow(MoonguardError);
  expect(attempt).toThrow(
    expect.objectContaining({
      code: 'configuration_invalid',
      problems: Object.keys(wrong).map((field) => expect.objectContaining({ field })),
    }),
  );
});
