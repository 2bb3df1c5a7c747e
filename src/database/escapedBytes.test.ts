import * as fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { forEachDatabase } from '../../test/support/testDatabase.ts';
import { unescapeBytes } from './escapedBytes.ts';

test.each([
  ['', ''],
  ['{"a":1}', '{"a":1}'],
  [String.raw`a\\b`, String.raw`a\b`],
  [String.raw`\303\274\000`, 'ü\0'],
])('%j', (escaped, expected) => {
  expect(unescapeBytes(escaped)).toEqual(Buffer.from(expected));
});

forEachDatabase('bytes in the format "escape"', (open) => {
  test('come back as they were', { timeout: 30_000 }, async () => {
    const database = await open();
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { minLength: 1, maxLength: 50 }), async (bodies) => {
        const given = JSON.stringify(bodies.map((body) => Buffer.from(body).toString('hex')));
        const { rows } = await sql<{ escaped: string }>`
          select encode(decode(hex, 'hex'), 'escape') as escaped from jsonb_array_elements_text(${given}::jsonb) as hex
        `.execute(database.db);
        expect(rows.map(({ escaped }) => unescapeBytes(escaped))).toEqual(bodies.map((body) => Buffer.from(body)));
      }),
      { numRuns: 30 },
    );
    await database.close();
  });
});
