import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalContent } from './canonicalContent.ts';

/** RFC 8785 by the book. Doubles: whose digits are ours too. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
}

const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom('"', '\\', '{', ']', ',', ':', ' ', '\n', '!', 'ä'), fc.string()),
});
const { document } = fc.letrec((tie) => ({
  value: fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    anyText,
    tie('list'),
    tie('document'),
  ),
  list: fc.array(tie('value'), { maxLength: 4 }),
  document: fc.dictionary(anyText, tie('value'), { maxKeys: 6 }),
}));

test('it is what RFC 8785 says, of the members that are not null', () => {
  fc.assert(
    // Columns of the type json, which a user may have added, keep their spaces and line breaks.
    fc.property(document, fc.constantFrom('', ' ', '\t\r\n'), (row, indent) => {
      const members = Object.entries(row as object).filter(([, value]) => value !== null);
      expect(Object.fromEntries(canonicalContent(JSON.stringify(row, undefined, indent)))).toEqual(
        Object.fromEntries(members.map(([name, value]) => [name, canonicalJson(value)])),
      );
    }),
  );
});

test('numbers keep their digits', () => {
  expect(canonicalContent('{"n": 0.1234567890123456789, "m": 1.00, "list": [-0, 1e400]}')).toEqual(
    new Map([
      ['n', '0.1234567890123456789'],
      ['m', '1.00'],
      ['list', '[-0,1e400]'],
    ]),
  );
});

test('documents may be nested deeper than our stack', () => {
  const depth = 15_000;
  const deep = `${'{"a": ['.repeat(depth)}1${']}'.repeat(depth)}`;
  expect(canonicalContent(`{"deep": ${deep}}`).get('deep')).toBe(deep.replaceAll(' ', ''));
});
