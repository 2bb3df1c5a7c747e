import { describe, expect, test } from 'vitest';
import { parseEvent } from '../receive/parseEvent.ts';
import { bodyOf, type Source } from './providerEvent.ts';
import { playScenario, type ScenarioName, scenarioNames } from './scenario.ts';

const now = Date.parse('2026-11-23T12:00:00Z');

/** The same events each time. */
function source(): Source {
  let made = 0;
  return {
    now: () => now,
    newId: () => `0199f2c4-a1b2-7d3e-8c5f-${String(++made).padStart(12, '0')}`,
    random: () => (made++ * 0.379) % 1,
  };
}

const parsed = (name: ScenarioName) =>
  playScenario(name, source()).map((event) => parseEvent(bodyOf(event), 'sandbox'));

describe('each story is what its name says, to those who read MoonPay', () => {
  test.each<[ScenarioName, string[]]>([
    ['buy', ['transaction.created', 'transaction.updated', 'transaction.updated', 'transaction.completed']],
    ['buy_declined', ['transaction.failed']],
    ['buy_rejected_kyc', ['transaction.created', 'transaction.failed']],
    ['buy_undelivered', ['transaction.created', 'transaction.updated', 'transaction.failed']],
    ['sell', ['sell_transaction.created', 'sell_transaction.updated', 'sell_transaction.completed']],
    ['sell_requote', ['sell_transaction.created', 'sell_transaction.requote_required']],
    ['identity_approved', ['customer.kyc_updated', 'customer.kyc_completed']],
    ['identity_retry', ['customer.kyc_updated', 'customer.kyc_rejected']],
    ['identity_rejected', ['customer.kyc_updated', 'customer.kyc_rejected']],
    ['chargeback', ['transaction.created', 'transaction.completed', 'moonpay.chargeback']],
    ['out_of_order', ['transaction.created', 'transaction.updated', 'transaction.completed', 'transaction.updated']],
  ])('%s', (name, eventNames) => {
    expect(parsed(name).map((event) => event.name)).toEqual(eventNames);
  });
});

test.each(scenarioNames)('%s: one transaction or check, stepping forward in time, none of it in the future', (name) => {
  const events = parsed(name);
  expect(new Set(events.map(({ facts }) => facts.id)).size).toBe(1);
  const times = events.map(({ facts }) => facts.updatedAt?.getTime() ?? Number.NaN);
  if (name !== 'out_of_order') expect(times).toEqual(times.toSorted((a, b) => a - b));
  for (const time of times) expect(time).toBeLessThanOrEqual(now);
});

test('only the story of duplicates has an event twice', () => {
  for (const name of scenarioNames) {
    const keys = parsed(name).map(({ dedupeKey }) => dedupeKey);
    expect(keys.length / new Set(keys).size, name).toBe(name === 'duplicates' ? 2 : 1);
  }
});

test('every playing is about another transaction and another customer', () => {
  const random = { now: () => now, newId: () => crypto.randomUUID(), random: () => Math.random() };
  const plays = [playScenario('buy', random), playScenario('buy', random)].map(([event]) => event?.data);
  expect(plays[0]?.id).not.toBe(plays[1]?.id);
  expect(plays[0]?.['customerId']).not.toBe(plays[1]?.['customerId']);
});

test('an event of a declined card lacks the amounts, and the failed stage says why', () => {
  const [event] = playScenario('buy_declined', source());
  expect(event?.data).not.toHaveProperty('baseCurrencyAmount');
  expect(event?.data['stages']).toContainEqual(
    expect.objectContaining({ failureReason: 'payment_authorization_declined' }),
  );
});
