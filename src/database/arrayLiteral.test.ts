import * as fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { forEachDatabase } from '../../test/support/testDatabase.ts';
import { arrayLiteral } from './arrayLiteral.ts';

test.each([
  [[], '{}'],
  [['a', undefined, 'null', ''], '{"a",NULL,"null",""}'],
  [['{"a": "b\\c"}', ' , '], String.raw`{"{\"a\": \"b\\c\"}"," , "}`],
  [[1, 1.5, undefined, true], '{1,1.5,NULL,true}'],
])('%j', (elements, literal) => {
  expect(arrayLiteral(elements)).toBe(literal);
});

forEachDatabase('the text of an array', (open) => {
  test('is read as what it was made of', { timeout: 30_000 }, async () => {
    const database = await open();
    const text = fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', ',', ' ', '\n', "'", 'N', 'ü', '€', '\t') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.option(text), fc.option(fc.double({ noDefaultInfinity: true, noNaN: true })))),
        async (pairs) => {
          const texts = arrayLiteral(pairs.map(([given]) => given ?? undefined));
          const numbers = arrayLiteral(pairs.map(([, given]) => given ?? undefined));
          const { rows } = await sql<{ text: string | null; number: number | null }>`
            select * from unnest(${texts}::text[], ${numbers}::double precision[]) as given (text, number)
          `.execute(database.db);
          // In JavaScript the text of -0 is 0.
          expect(rows.map((row) => [row.text, (row.number ?? 0) + 0, row.number === null])).toEqual(
            pairs.map(([given, number]) => [given, (number ?? 0) + 0, number === null]),
          );
        },
      ),
      { numRuns: 50 },
    );
    await database.close();
  });
});
