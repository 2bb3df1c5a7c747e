import type { CelInput } from '@bufbuild/cel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bindings, expressionEnvironment } from './expression.ts';

const variables = {
  amount: 'double',
  name: 'string',
  list: 'list',
  anything: 'dyn',
  person: { fields: { name: 'string', address: { fields: { country: 'string' } } } },
} as const;
const compile = expressionEnvironment({ variables, result: 'dyn' });

const bindings: Bindings = {
  amount: 120.5,
  name: 'Ada',
  list: [1, 2, 3],
  anything: new Map<string, CelInput>([
    ['code', 'btc'],
    ['none', null],
    ['constructor', 'a key'],
  ]),
  person: true,
  'person.name': 'Ada',
  'person.address': true,
  'person.address.country': 'GBR',
};

function evaluate(source: string, given: Bindings = bindings): unknown {
  const compiled = compile(source);
  if ('problems' in compiled) return compiled.problems;
  const evaluated = compiled.evaluate(given);
  return 'error' in evaluated ? evaluated : evaluated.value;
}

describe('an expression gives', () => {
  test.each<[string, unknown]>([
    ['amount > 100', true],
    ['amount * 2.0', 241],
    ['amount == 120.5 && name != "Bob"', true],
    ['name == "Bob" || amount >= 120.5', true],
    ['name.startsWith("A") ? "yes" : "no"', 'yes'],
    ['name.contains("d") && name.endsWith("a") && name.size() == 3', true],
    ['name.matches("^[A-Z][a-z]+$")', true],
    ['name in ["Ada", "Bob"]', true],
    ['person.address.country == "GBR"', true],
    ['list[0] + list[2]', 4],
    ['list.all(x, x > 0.0)', true],
    ['list.exists(x, x == 2)', true],
    ['list.exists_one(x, x > 1)', false],
    ['list.filter(x, x > 1).size() == 2', true],
    ['list.map(x, x * 2.0) == [2.0, 4.0, 6.0]', true],
    ['[1] + [2] == [1, 2]', true],
    ['anything.code', 'btc'],
    ['has(anything.code) && !has(anything.other)', true],
    ['anything.none == null', true],
    ['anything["constructor"]', 'a key'],
    ['timestamp("2026-01-02T03:04:05Z").getHours() == 3', true],
    ['duration("90m") > duration("1h")', true],
    ['type(amount) == double', true],
    ['int("7") + 1 == 8', true],
    ['{"a": 1}.a == 1', true],
    // An error on one side does not matter when the other decides.
    ['anything.other == 1 || true', true],
  ])('%s: %j', (source, value) => {
    expect(evaluate(source)).toEqual(value);
  });

  test.each([
    ['anything.other == 1', 'field not found: other'],
    ['list[7] == 1', 'index 7 out of bounds'],
    ['anything.code * 2', "no matching overload for '_*_'"],
    ['1 / 0 == 1', 'divide by zero'],
    ['anything.toString', 'field not found: toString'],
    ['anything.__proto__', 'field not found: __proto__'],
  ])('%s: an error, %s', (source, error) => {
    expect(evaluate(source)).toEqual({ error: expect.stringContaining(error) });
  });
});

describe('without any data is refused', () => {
  test.each([
    ['nme == "Ada"', 'there is no variable nme', 1, 1],
    ['toString', 'there is no variable toString', 1, 1],
    ['amount > 1.0 &&\n  person.adress == "x"', 'there is no field adress; there are name, address', 2, 9],
    ['person.__proto__', 'there is no field __proto__', 1, 7],
    ['name.first', 'a string has no fields: first', 1, 5],
    ['name[0]', 'a string has no elements', 1, 5],
    ['amount + name', '+ does not take (double, string)', 1, 8],
    ['!name', '! does not take (string)', 1, 1],
    ['name && true', '&& does not take (string, bool)', 1, 1],
    ['name ? 1 : 2', 'what comes before ? is a string', 1, 1],
    ['name == 5', '== does not take (string, int)', 1, 6],
    ['name.startsWith(1)', 'startsWith does not take (int) of a string', 1, 5],
    ['sum(list)', 'there is no function sum', 1, 1],
    ['name.all(x, true)', 'a string has no elements', 1, 5],
    ['list.all(x, y == x)', 'there is no variable y', 1, 13],
    ['google.protobuf.Timestamp{seconds: 1}', 'there is no type google.protobuf.Timestamp', 1, 1],
    ['amount >', 'found >', 1, 8],
    ['', 'found end of input', 1, 1],
    ['name = "Ada"', 'found =', 1, 6],
    ["name == 'Ada", 'found =', 1, 6],
    ['name.matches("(a*)*{1000}")', 'the regular expression would take too many steps', 1, 14],
    ['name.matches("(a")', 'the regular expression is refused: error parsing regexp', 1, 14],
    ['name.matches("(a{500}){500}")', 'the regular expression would take too many steps', 1, 14],
    ['person == person', 'is no value; name one of its fields: name, address', 1, 1],
    ['size(person.address) > 0', 'is no value; name one of its fields: country', 1, 12],
    [`${'['.repeat(80)}${']'.repeat(80)}`, 'nested more than 64 deep', 1, 65],
    [`name == "${'a'.repeat(4096)}"`, 'longer than 4096 characters', 1, 1],
  ])('%j: %s', (source, message, line, column) => {
    const [first] = evaluate(source) as unknown[];

    expect(first).toEqual({ message: expect.stringContaining(message), line, column });
  });

  test('everything that is wrong is said at once', () => {
    expect(evaluate('nme == "Ada" && person.adress == "x" && amount + name')).toHaveLength(3);
  });

  test('what gives something else than it shall', () => {
    const condition = expressionEnvironment({ variables, result: 'bool' });

    expect(condition('name')).toEqual({ problems: [{ message: 'gives a string, not a bool', line: 1, column: 1 }] });
    expect(condition('anything.code')).toHaveProperty('evaluate');
  });
});

describe('an evaluation ends early', () => {
  const large = Array.from({ length: 3000 }, (_, index) => index);
  const tooMuch = { error: 'the expression takes too many steps on this data' };

  test.each([
    'list.all(x, list.all(y, true))',
    'list.exists(x, list != anything)',
    'list.all(x, list == list)',
    'list.map(x, x).map(x, x).map(x, x).map(x, x).size() == 1',
    `[list]${'.map(x, x + x)'.repeat(15)}.size() == 1`,
    `["ab"]${'.map(x, x + x + x + x)'.repeat(12)}[0].size() == 1`,
    'list.all(x, name.matches(anything.pattern))',
    'list.all(x, x in list)',
  ])('%s', (source) => {
    const name = 'a'.repeat(1000);

    const anything = source.includes('anything.') ? new Map([['pattern', '(a{500})*b']]) : large;

    expect(evaluate(source, { ...bindings, list: large, anything, name })).toEqual(tooMuch);
  });

  test('and the next one has its own steps', () => {
    expect(evaluate('list.all(x, list.all(y, true))', { ...bindings, list: large })).toEqual(tooMuch);
    expect(evaluate('list.all(x, x >= 0)', { ...bindings, list: large })).toBe(true);
  });
});

test('no source makes the compiler throw', () => {
  const parts = [
    'amount',
    'name',
    '.',
    '[',
    ']',
    '(',
    ')',
    '&&',
    '+',
    '"',
    '{',
    '}',
    'has',
    'all',
    ',',
    '?',
    ':',
    '1',
    '!',
  ];
  const source = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...parts), { maxLength: 30 }).map((some) => some.join('')),
  );
  fc.assert(
    fc.property(source, (text) => {
      evaluate(text);
    }),
  );
});
