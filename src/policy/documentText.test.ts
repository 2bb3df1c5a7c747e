import { expect, test } from 'vitest';
import { documentYaml, parseDocumentText, readDocument } from './documentText.ts';

const rules = `
rules:
  - id: large
    when: event.fiat.minor > 100000
`;
const policy = (rest: string): string => `
id: limits
name: Limits
type: transaction_limit
applies_to: { events: [transaction.*] }
${rest}`;

const aggregate = (fields: string): string =>
  policy(`${rules}aggregates:\n  - { name: spent, window: 24h, key: customer, ${fields} }`);

test('a policy is the same in YAML, in JSON and as an object', () => {
  const read = parseDocumentText(policy(rules));
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));

  expect(parseDocumentText(JSON.stringify(read.document))).toEqual(read);
  expect(parseDocumentText(documentYaml(read.document))).toEqual(read);
  expect(readDocument(read.document)).toEqual(read);
});

test.each<[why: string, text: string, code: string, field: string, message: string]>([
  [
    'an unknown field',
    policy(`${rules}colour: red`),
    'unknown_field',
    'colour',
    'there is no such field – line 10, column 1',
  ],
  [
    'an unknown field deep inside',
    policy(`${rules}    alert: { type: aml_screening, severity: low, title: T, text: x }`),
    'unknown_field',
    'rules.0.alert.text',
    'line 10, column 60',
  ],
  ['a wrong type', policy('rules: many'), 'wrong_type', 'rules', 'expected array, received string – line 6, column 1'],
  ['a missing field', 'id: limits', 'required', 'name', 'line 1, column 1'],
  [
    'an unknown word',
    policy(`${rules}    outcome: explode`),
    'unknown_value',
    'rules.0.outcome',
    'must be one of allow, review, approval_required, block – line 10, column 5',
  ],
  ['no rules', policy('rules: []'), 'too_small', 'rules', 'must be at least 1'],
  [
    'an id that is none',
    policy(rules).replace('id: limits', 'id: Große Limits'),
    'malformed',
    'id',
    'line 2, column 1',
  ],
  [
    'a rule id twice',
    policy(`${rules}  - { id: large, when: 'true' }`),
    'not_unique',
    'rules.1.id',
    'another rule has this id – line 10, column 7',
  ],
  ['a list named twice', policy(`${rules}lists: [a, a]`), 'not_unique', 'lists.1', 'line 10, column 12'],
  [
    'a score outside of mode score',
    policy(`${rules}    score: 5`),
    'not_allowed',
    'rules.0.score',
    'only rules of mode score have one',
  ],
  [
    'an outcome in mode score',
    policy(
      `${rules}    score: 5\n    outcome: block\nevaluation: { mode: score, thresholds: [{ at: 5, outcome: block }] }`,
    ),
    'not_allowed',
    'rules.0.outcome',
    'the thresholds give the outcome',
  ],
  [
    'no score in mode score',
    policy(`${rules}evaluation: { mode: score, thresholds: [{ at: 5, outcome: block }] }`),
    'required',
    'rules.0.score',
    'has a score',
  ],
  [
    'thresholds out of order',
    policy(
      `${rules}    score: 5\nevaluation: { mode: score, thresholds: [{ at: 5, outcome: block }, { at: 5, outcome: review }] }`,
    ),
    'out_of_order',
    'evaluation.thresholds.1.at',
    'above the threshold before',
  ],
  [
    'an approval nobody asked for',
    policy(`${rules}    approval: { expires_in: 1h }`),
    'not_allowed',
    'rules.0.approval',
    'approval_required',
  ],
  [
    'an end before the beginning',
    policy(`${rules}effective: { from: 2026-02-01T00:00:00Z, until: 2026-01-01T00:00:00Z }`),
    'out_of_order',
    'effective.until',
    'must be after from',
  ],
  [
    'a window without unit',
    aggregate('function: count').replace('24h', '24 hours'),
    'malformed',
    'aggregates.0.window',
    'as 24h',
  ],
  [
    'a window beyond 400 days',
    aggregate('function: count').replace('24h', '401d'),
    'invalid',
    'aggregates.0.window',
    'at most 400d',
  ],
  ['a sum of nothing', aggregate('function: sum'), 'required', 'aggregates.0.of', 'sum is of fiat or crypto'],
  [
    'a sum of cards',
    aggregate('function: sum, of: card'),
    'not_allowed',
    'aggregates.0.of',
    'sum is of fiat or crypto',
  ],
  [
    'a number of different amounts',
    aggregate('function: distinct, of: fiat'),
    'not_allowed',
    'aggregates.0.of',
    'amounts are not counted',
  ],
  ['a count of something', aggregate('function: count, of: card'), 'not_allowed', 'aggregates.0.of', 'count counts'],
  [
    'a currency of cards',
    aggregate('function: distinct, of: card, currency: EUR'),
    'not_allowed',
    'aggregates.0.currency',
    'only of fiat or crypto',
  ],

  [
    'an unknown name in an expression',
    policy(rules).replace('event.fiat.minor', 'event.fiat.minro'),
    'expression',
    'rules.0.when',
    'there is no field minro; there are currency, decimals, amount, minor (line 1, column 11 of the expression) – line 9, column 5',
  ],
  [
    'a wrong type in an expression',
    policy(rules).replace('100000', '"much"'),
    'expression',
    'rules.0.when',
    '> does not take (int, string)',
  ],
  [
    'money compared with a double',
    policy(rules).replace('100000', '1000.5'),
    'expression',
    'rules.0.when',
    'compares a whole number with a double',
  ],
  [
    'an expression that gives no bool',
    policy(rules).replace('event.fiat.minor > 100000', 'event.fiat.minor'),
    'expression',
    'rules.0.when',
    'gives a int, not a bool',
  ],
  [
    'an expression of 5,000 characters',
    policy(rules).replace('100000', `100000 || "${'x'.repeat(5000)}" == ""`),
    'too_long',
    'rules.0.when',
    'at most 4096 characters',
  ],
  [
    'a list that is not declared',
    policy(rules).replace('event.fiat.minor > 100000', 'event.country in lists.risky'),
    'expression',
    'rules.0.when',
    'there is no field risky',
  ],
  [
    'a list as a value',
    policy(`${rules}lists: [risky]`).replace('event.fiat.minor > 100000', 'size(lists.risky) > 0'),
    'expression',
    'rules.0.when',
    'x in lists.name',
  ],
  [
    'a list of numbers',
    policy(`${rules}lists: [risky]`).replace('event.fiat.minor > 100000', 'event.fiat.minor in lists.risky'),
    'expression',
    'rules.0.when',
    'looks up a string, not a int',
  ],
  [
    'a regular expression meant to explode',
    policy(rules).replace('event.fiat.minor > 100000', `'event.country.matches("(a*)*{1000}")'`),
    'expression',
    'rules.0.when',
    'would take too many steps',
  ],
  [
    'a regular expression that is none',
    policy(rules).replace('event.fiat.minor > 100000', `'event.country.matches("(a")'`),
    'expression',
    'rules.0.when',
    'the regular expression is refused',
  ],
  [
    'an expression nested too deep',
    policy(rules).replace('event.fiat.minor > 100000', `${'!('.repeat(70)}true${')'.repeat(70)}`),
    'syntax',
    '',
    'line 9, column 11',
  ],
  [
    'a title that names what is not there',
    policy(`${rules}    alert: { type: aml_screening, severity: low, title: "{event.identity.chek_id}" }`),
    'expression',
    'rules.0.alert.title',
    '{event.identity.chek_id}: there is no field chek_id',
  ],
  [
    'a description with an expression',
    policy(`${rules}    description: "{1 + 1}"`),
    'expression',
    'rules.0.description',
    'is not the path of a value',
  ],
  [
    'a wrong expression of what it applies to',
    policy(rules).replace('[transaction.*]', '[transaction.*], when: \'evnt.name == ""\''),
    'expression',
    'applies_to.when',
    'there is no variable evnt',
  ],

  ['no YAML', 'id: [', 'syntax', '', 'line 1, column 6'],
  ['nothing', '', 'wrong_type', '', 'expected object, received null'],
  ['two documents', `${policy(rules)}---\n${policy(rules)}`, 'syntax', '', 'multiple documents'],
  ['a key twice', policy(`${rules}name: Other`), 'not_unique', 'name', 'is there twice – line 10, column 1'],
  ['a key that is a list', policy(`${rules}[a]: 1`), 'wrong_type', '', 'a key must be a text'],
  ['a tag', policy(`${rules}description: !!js/function x`), 'syntax', '', 'line 10'],
  ['a character that cannot be stored', policy(`${rules}description: "\\0"`), 'not_storable', '', 'cannot store it'],
  ['an alias', policy(`${rules}lists: [&a b, *a]`), 'alias', '', 'aliases are not allowed – line 10, column 15'],
  ['a list in itself', policy(`${rules}lists: &a [*a]`), 'alias', '', 'aliases are not allowed'],
  [
    'a bomb of aliases',
    `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n${policy(rules)}`,
    'alias',
    '',
    'aliases are not allowed',
  ],
  ['a megabyte', policy(`${rules}# ${'x'.repeat(1024 * 1024)}`), 'too_long', '', 'at most 262144 bytes'],
  ['brackets without end', '['.repeat(100_000), 'too_deep', '', 'nested too deep'],
])('%s is refused with its place and a reason', (_, text, code, field, message) => {
  expect(parseDocumentText(text)).toEqual({
    problems: expect.arrayContaining([{ code, field, message: expect.stringContaining(message) }]),
  });
});

test('all that is wrong is said at once', () => {
  const read = parseDocumentText(policy('rules:\n  - { id: A, when: 1 }\n  - { id: b, when: "x", what: y }'));

  expect('problems' in read && read.problems.map(({ field }) => field)).toEqual([
    'rules.0.id',
    'rules.0.when',
    'rules.1.what',
  ]);
});

test('40,000 keys are read in less than a second', () => {
  const keys = Array.from({ length: 40_000 }, (_, index) => `k${index.toString(36)}:`).join('\n');

  const began = process.cpuUsage();
  const read = parseDocumentText(keys);

  expect(read).toHaveProperty('problems');
  expect(process.cpuUsage(began).user).toBeLessThan(1_000_000);
});

test.each([
  [
    'a circle',
    () => {
      const circle: Record<string, unknown> = {};
      circle['id'] = circle;
      return circle;
    },
  ],
  ['a bigint', () => ({ id: 1n })],
  ['null', () => null],
])('%s is no document either', (_, value) => {
  expect(readDocument(value())).toHaveProperty('problems');
});
