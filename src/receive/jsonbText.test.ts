import { PGlite } from '@electric-sql/pglite';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fitsJsonb } from './jsonbText.ts';

const database = new PGlite();
beforeAll(() => database.waitReady, 60_000);
afterAll(() => database.close());

async function postgresTakes(json: string): Promise<boolean> {
  const { rows } = await database.query<{ takes: boolean }>(`select pg_input_is_valid($1, 'jsonb') as takes`, [json]);
  return rows[0]?.takes === true;
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

test.each([
  ['escapes', String.raw`{"a":"\u0001 \u00e9 \uffff"}`],
  ['a surrogate pair', String.raw`"\ud83d\ude00"`],
  ['a surrogate pair in capitals', String.raw`"\uD83D\uDE00 😀"`],
  ['what only looks like an escape', String.raw`"\\u0000 \\ud800"`],
  ['brackets and numbers in a string', String.raw`"a \" ${'{['.repeat(200)} 1e9999"`],
  ['__proto__ and duplicate keys', '{"__proto__":{"a":1},"a":1,"a":2}'],
  ['every form of number', '[0.1,-0.0,1e0,1E+2,1.5e-3,-7]'],
  ['the smallest and the largest double', `[${Number.MIN_VALUE},${Number.MAX_VALUE}]`],
  ['a number of 1,000 digits', `[${'9'.repeat(1_000)}]`],
  ['white space and literals', ' \t\r\n[true,false,null] '],
  ['an empty string', '""'],
  ['nesting 256 deep', nested(256)],
  ['arrays beside each other', `[${nested(200)},${nested(200)}]`],
])('takes %s', async (_, json) => {
  expect(fitsJsonb(json)).toBe(true);
  expect(await postgresTakes(json)).toBe(true);
});

test.each([
  String.raw`"\u0000"`,
  String.raw`{"\u0000":1}`,
  String.raw`"\\\u0000"`,
  String.raw`"\ud83d"`,
  String.raw`"\ud83d😀"`,
  String.raw`"\ud83d\n\ude00"`,
  String.raw`"\ud83d\ud83d\ude00"`,
  String.raw`"\uDE00\uD83D"`,
  String.raw`{"a":"\ud83d","a":1}`,
  '1e131073',
  '[-1E-16384]',
  '{"a":1e99999999999999999999}',
])('refuses %s, as PostgreSQL does', async (json) => {
  expect(() => JSON.parse(json)).not.toThrow();
  expect(fitsJsonb(json)).toBe(false);
  expect(await postgresTakes(json)).toBe(false);
});

test.each([
  ['nesting deeper than 256', nested(257)],
  ['nesting of objects and arrays deeper than 256', '{"a":['.repeat(129) + ']}'.repeat(129)],
  ['nesting 500,000 deep', nested(500_000)],
  ['a number of more than 1,000 digits', '9'.repeat(1_001)],
  ['a number that is longer written out', '[1e1000]'],
  ['a number with a far negative exponent', '[1e-1000]'],
])('refuses %s, before PostgreSQL would', (_, json) => {
  expect(fitsJsonb(json)).toBe(false);
});

test('judges every mixture of escapes as PostgreSQL does', async () => {
  const piece = fc.constantFrom(
    '\\u0000',
    '\\ud83d',
    '\\uDE00',
    '\\u0041',
    '\\\\',
    '\\"',
    '\\n',
    'u',
    'd83d',
    '{',
    '😀',
  );
  const json = fc.array(piece, { maxLength: 8 }).map((pieces) => `["${pieces.join('')}",1.50e1]`);
  await fc.assert(
    fc.asyncProperty(json, async (text) => {
      expect(fitsJsonb(text)).toBe(await postgresTakes(text));
    }),
    { numRuns: 500 },
  );
});

test('PostgreSQL takes whatever JSON passes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json({ stringUnit: 'binary' }), async (text) => {
      fc.pre(fitsJsonb(text));
      expect(await postgresTakes(text)).toBe(true);
    }),
    { numRuns: 300 },
  );
});
