import { describe, expect, test } from 'vitest';
import { compileFilter, type FilteredEvent } from './filter.ts';

const completed: FilteredEvent = {
  id: 'evt_1',
  name: 'transaction.completed',
  type: 'transaction_updated',
  environment: 'sandbox',
  occurredAt: new Date('2026-05-01T12:00:00Z'),
  data: { baseCurrencyAmount: 120, currency: { code: 'btc' }, stages: [{ status: 'success' }], failureReason: null },
};

function verdict(source: string, event: FilteredEvent = completed) {
  const compiled = compileFilter(source);
  return 'problems' in compiled ? compiled.problems : compiled.filter(event);
}

test.each([
  ['event.id == "evt_1"', true],
  ['event.name == "transaction.completed"', true],
  ['event.name.startsWith("customer.")', false],
  ['event.type == "transaction_updated"', true],
  ['event.environment == "production"', false],
  ['event.occurred_at < timestamp("2026-06-01T00:00:00Z")', true],
  ['event.occurred_at.getHours() == 12', true],
  ['event.data.baseCurrencyAmount >= 100', true],
  ['event.data.currency.code in ["btc", "eth"]', true],
  ['event.data.stages.exists(s, s.status == "failed")', false],
  ['event.data.failureReason == null', true],
  ['has(event.data.areFeesIncluded) && event.data.areFeesIncluded', false],
])('%s: %s', (source, matches) => {
  expect(verdict(source)).toEqual({ matches });
});

test('a field that the event does not have is an error, not a refusal', () => {
  expect(verdict('event.data.walletAddress == "x"')).toEqual({ error: 'field not found: walletAddress' });
  expect(verdict('event.data.currency')).toEqual({ error: expect.stringContaining('not a bool') });
});

test('a filter names only what an event has, and gives true or false', () => {
  expect(verdict('event.status == "x"')).toMatchObject([
    { message: expect.stringContaining('there is no field status') },
  ]);
  expect(verdict('data.status == "x"')).toMatchObject([{ message: 'there is no variable data' }]);
  expect(verdict('event.name')).toMatchObject([{ message: 'gives a string, not a bool' }]);
});

describe('hostile data', () => {
  const withData = (json: string): FilteredEvent => ({ ...completed, data: JSON.parse(json) });

  test.each([
    ['{"__proto__": {"admin": true}}', 'has(event.data.admin)', false],
    ['{"__proto__": {"admin": true}}', 'event.data.__proto__.admin', true],
    ['{"constructor": {"name": 5}}', 'event.data.constructor.name == 5', true],
    ['{"toString": null}', 'event.data.toString == null', true],
    ['[]', 'size(event.data) == 0', true],
    ['"text"', 'event.data == "text"', true],
    ['null', 'event.data == null', true],
  ])('%s with %s', (json, source, matches) => {
    expect(verdict(source, withData(json))).toEqual({ matches });
  });

  test('nested thousands deep, or huge, is an error at most', () => {
    const deep = withData(`${'['.repeat(5000)}${']'.repeat(5000)}`);
    const huge = withData(JSON.stringify(Array.from({ length: 200_000 }, (_, index) => index)));

    for (const event of [deep, huge]) {
      const given = verdict('event.data == event.data', event);
      expect(given).toSatisfy((value) => JSON.stringify(value) === '{"matches":true}' || 'error' in value);
    }
    expect(verdict('event.data.exists(x, x == 199999)', huge)).toEqual({ error: expect.stringContaining('steps') });
  });
});
