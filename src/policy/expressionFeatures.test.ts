import { describe, expect, test } from 'vitest';
import { bindInputs, compilePolicy } from './compilePolicy.ts';
import type { Aggregate, PolicyDocument } from './document.ts';
import type { DecisionInputs } from './inputs.ts';

/** Every feature of expressions that docs/policy-language.md names, on one set of inputs. */

const aggregates: Aggregate[] = [
  { name: 'cards_24h', function: 'distinct', of: 'card', key: 'customer', window: '24h' },
  { name: 'spent_7d', function: 'sum', of: 'fiat', key: 'customer', window: '7d' },
  { name: 'eth_7d', function: 'sum', of: 'crypto', key: 'wallet', window: '7d' },
  { name: 'least_7d', function: 'min', of: 'fiat', key: 'card', window: '7d' },
];
const lists: Readonly<Record<string, readonly string[]>> = { risky: ['PRK', 'IRN'], blocked: ['0xbad'] };

function documentWith(when: string): PolicyDocument {
  return {
    id: 'features',
    name: 'Features',
    type: 'transaction_limit',
    applies_to: { events: ['*'] },
    lists: [...Object.keys(lists), 'gone'],
    aggregates,
    rules: [{ id: 'rule', when }],
  };
}

const inputs: DecisionInputs = {
  policies: [],
  event: {
    id: 'e1',
    name: 'transaction.failed',
    environment: 'production',
    at: '2026-03-29T01:30:00.250Z',
    type: 'transaction_failed',
    customer_id: 'c1',
    country: 'GBR',
    fiat: { currency: 'EUR', decimals: 2, amount: '1234.5', minor: '123450' },
    crypto: { currency: 'ETH', decimals: 18, amount: '20.5' },
    wallet: { address: '0xbad', network: 'ethereum' },
    stages: [
      { stage: 'stage_one_ordering', status: 'success' },
      { stage: 'stage_two_verification', status: 'failed', failure_code: 'rejected_kyc' },
    ],
    failed_stages: ['stage_two_verification'],
    failure_codes: ['rejected_kyc', 'error'],
    failure_code: 'rejected_kyc',
    fields: { purpose: 'salary', count: 3, __proto__x: true, tags: ['a', 'b'] },
  },
  customer: { known: true, kyc_checked_level: 2, created_at: '2026-03-28T12:00:00.000Z' },
  transaction: { known: false },
  aggregates: {},
  lists: {},
  waivers: [],
  now: '2026-03-29T01:31:00.000Z',
  absent: { 'event.crypto.minor': 'beyond 64 bits' },
};

function compile(when: string) {
  const compiled = compilePolicy(documentWith(when), { version: 1, mode: 'active' });
  if ('problems' in compiled) return compiled;
  const { policy } = compiled;
  const [rule] = policy.rules;
  if (rule === undefined) throw new Error('there is a rule');
  const values = [4, '9007199254740993', '20.500000000000000001', null];
  const withAggregates = {
    ...inputs,
    aggregates: Object.fromEntries(policy.aggregates.map(({ id }, place) => [id, values[place] ?? null])),
  };
  const bindings = bindInputs(withAggregates, { has: (list, value) => lists[list]?.includes(value) });
  return { evaluated: rule.evaluate(bindings), values: rule.valuesOf(bindings) };
}

describe('holds', () => {
  test.each([
    // Comparisons and logic
    'event.country == "GBR" && event.environment != "sandbox"',
    'event.fiat.minor > 100000 || event.wallet.address == ""',
    '!(event.fiat.minor < 100000)',
    'event.country == "GBR" ? event.fiat.minor >= 123450 : false',
    'event.country in ["FRA", "GBR"]',
    '"error" in event.failure_codes',
    // Arithmetic of whole numbers
    'event.fiat.minor % 100 == 50 && event.fiat.minor / 100 == 1234 && -event.fiat.minor + 1 - 1 == -123450 && 2 * 3 == 6',
    // Texts
    'event.wallet.address.startsWith("0x") && event.name.endsWith(".failed") && event.name.contains("action")',
    'event.wallet.address.matches("^0x[a-f0-9]+$") && event.name.size() == 18',
    '"a" + "b" == "ab" && string(event.fiat.minor) == "123450" && int("5") == 5',
    // Presence
    'has(event.wallet) && has(event.wallet.network) && !has(event.wallet.tag) && !has(event.identity) && !has(event.crypto.minor)',
    '!has(event.identity) || event.identity.result == "clear"',
    'has(event.fields.purpose) && !has(event.fields.other)',
    // Lists and comprehensions
    'event.failure_codes.exists(code, code == "rejected_kyc") && event.failure_codes.all(code, code != "cancelled")',
    'event.stages.exists_one(s, s.status == "failed") && event.stages.filter(s, s.status == "failed").size() == 1',
    'event.stages.exists(s, has(s.failure_code) && s.failure_code == "rejected_kyc")',
    'event.failure_codes.map(code, code.size()) == [12, 5]',
    'event.failure_codes[0] == event.failure_code && event.stages[1].status == "failed" && size(event.stages) == 2',
    'event.failed_stages == ["stage_two_verification"]',
    'event.failure_codes.exists(event, event == "error")',
    // Named lists
    'event.wallet.address in lists.blocked && !(event.country in lists.risky)',
    'event.failure_codes.exists(code, code in lists.blocked) || "PRK" in lists.risky',
    // Aggregates
    'aggregates.cards_24h > 3 && aggregates.spent_7d == 9007199254740993',
    'compareDecimals(aggregates.eth_7d, "20.5") > 0 && !has(aggregates.least_7d)',
    // Decimals
    'compareDecimals(event.crypto.amount, "20.50") == 0 && compareDecimals(event.fiat.amount, 1234) > 0',
    'compareDecimals("0.30000000000000004", "0.3") == 1 && compareDecimals("1e21", "999999999999999999999") == 1',
    // Times
    'now - event.at < duration("1h") && customer.created_at > timestamp("2026-01-01T00:00:00Z")',
    'event.at.getHours() == 1 && event.at.getHours("Europe/Paris") == 3 && event.at.getDayOfWeek() == 0',
    'event.at.getFullYear() == 2026 && event.at.getMonth() == 2 && event.at.getDate() == 29 && event.at.getMilliseconds() == 250',
    'event.at + duration("30m") == timestamp("2026-03-29T02:00:00.250Z")',
    // The customer and the transaction
    'customer.known && customer.kyc_checked_level < 3 && !transaction.known',
    // What a caller adds
    'event.fields.purpose == "salary" && event.fields.count == 3 && event.fields["tags"][1] == "b" && event.fields["__proto__x"]',
    // An error on one side does not matter where the other decides
    'event.identity.result == "clear" || event.country == "GBR"',
  ])('%s', (when) => {
    expect(compile(when)).toMatchObject({ evaluated: { hit: true } });
  });
});

describe('is an error, which is never a pass', () => {
  test.each([
    ['event.identity.result == "clear"', 'event.identity.result is absent'],
    ['event.wallet.tag == ""', 'event.wallet.tag is absent'],
    ['event.crypto.minor > 5', 'event.crypto.minor is absent: beyond 64 bits'],
    ['customer.kyc_level == "basic"', 'customer.kyc_level is absent'],
    ['aggregates.least_7d > 5', 'aggregates.least_7d is absent: there is nothing to take the least or most of'],
    ['event.stages.all(s, s.failure_code == "rejected_kyc")', 'field not found: failure_code'],
    ['event.fields.other == 1', 'field not found: other'],
    ['event.fields.purpose', 'gives a string, not a bool'],
    ['event.country in lists.gone', 'there is no list gone'],
    ['event.fields.count in lists.risky', 'lists.risky holds texts alone'],
    ['event.fiat.minor / 0 == 1', 'divide by zero'],
    ['event.fiat.minor * 9223372036854775807 > 0', 'overflow'],
    ['compareDecimals(event.country, "1") > 0', 'compareDecimals takes decimal numbers'],
    ['event.failure_codes[7] == ""', 'index 7 out of bounds'],
    ['event.at.getHours("Atlantis") == 1', 'Invalid time zone'],
    ['timestamp(event.country) < now', 'Failed to parse timestamp'],
    ['!(event.identity.result == "clear")', 'event.identity.result is absent'],
    ['event.identity.result == "clear" && event.country == "GBR"', 'event.identity.result is absent'],
    ['event.identity.result == "clear" ? true : true', 'event.identity.result is absent'],
    [
      'event.stages.map(a, event.stages.map(b, event.stages.map(c, event.stages.map(d, event.stages.map(e, event.stages.map(f, event.stages.map(g, event.stages.map(h, event.stages.map(i, event.stages.map(j, event.stages.map(k, event.stages.map(l, event.stages.map(m, 1))))))))))))).size() == 2',
      'too many steps',
    ],
  ])('%s: %s', (when, error) => {
    expect(compile(when)).toMatchObject({ evaluated: { error: expect.stringContaining(error) } });
  });
});

describe('of what decided, the values are told', () => {
  test.each<[string, object]>([
    ['event.fiat.minor > 100000', { 'event.fiat.minor': 123450 }],
    ['event.country == "GBR" || event.fiat.minor < 5', { 'event.country': 'GBR' }],
    ['event.country == "GBR" && event.fiat.minor > 5', { 'event.country': 'GBR', 'event.fiat.minor': 123450 }],
    ['event.country == "GBR" && event.fiat.minor < 5', { 'event.fiat.minor': 123450 }],
    ['event.country == "FRA" || event.fiat.minor < 5', { 'event.country': 'GBR', 'event.fiat.minor': 123450 }],
    ['!(event.country == "FRA" && customer.known)', { 'event.country': 'GBR' }],
    [
      'event.country == "FRA" ? customer.known : event.fiat.minor > 5',
      { 'event.country': 'GBR', 'event.fiat.minor': 123450 },
    ],
    ['has(event.identity) && event.identity.result == "clear"', { 'has(event.identity)': false }],
    ['event.identity.result == "clear" && customer.known', { 'event.identity.result': null }],
    [
      'event.wallet.address in lists.blocked',
      { 'event.wallet.address in lists.blocked': true, 'event.wallet.address': '0xbad' },
    ],
    ['event.failure_codes.exists(code, code == "error")', { 'event.failure_codes': ['rejected_kyc', 'error'] }],
    ['now - event.at < duration("1h")', { now: '2026-03-29T01:31:00Z', 'event.at': '2026-03-29T01:30:00.250Z' }],
    ['aggregates.spent_7d > 5', { 'aggregates.spent_7d': '9007199254740993' }],
    [
      'compareDecimals(aggregates.eth_7d, event.crypto.amount) > 0',
      { 'aggregates.eth_7d': '20.500000000000000001', 'event.crypto.amount': '20.5' },
    ],
    ['type(event.country) == string', { 'event.country': 'GBR' }],
  ])('%s: %j', (when, values) => {
    const compiled = compile(when);

    expect('values' in compiled && compiled.values).toEqual(values);
  });
});

describe('is refused when it is saved', () => {
  test.each([
    ['event.fiat.minor > 100.5', 'compares a whole number with a double'],
    ['double(event.fiat.minor) > event.fiat.minor', 'compares a whole number with a double'],
    ['aggregates.spent > 5', 'there is no field spent'],
    ['event == event', 'is no value; name one of its fields'],
    ['event.wallet != null', 'is no value; name one of its fields'],
    ['event.stages.exists(s, s.state == "failed")', 'there is no field state; there are stage, status, failure_code'],
    ['lists.risky == lists.risky', 'can only be asked whether something is in it'],
    ['event.fiat.minor in lists.risky', 'looks up a string, not a int'],
    ['compareDecimals(1.5, "1") > 0', 'compareDecimals does not take (double, string)'],
    ['customer.kyc_checked_level == "2"', '== does not take (int, string)'],
    ['event.country.matches("(a{500}){500}")', 'would take too many steps'],
    ['event.toString == ""', 'there is no field toString'],
    ['event.__proto__ == ""', 'there is no field __proto__'],
  ])('%s: %s', (when, message) => {
    expect(compile(when)).toEqual({
      problems: expect.arrayContaining([
        expect.objectContaining({ field: 'rules.0.when', message: expect.stringContaining(message) }),
      ]),
    });
  });
});
