import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalContent } from '../audit/canonicalContent.ts';
import { type ArchivedRow, readRow, rowJson, rowSchema, writeColumns } from './columns.ts';
import { ParquetFile, ReadableParquet } from './parquetFile.ts';

/** Through a file and back. */
async function kept(groups: readonly (readonly ArchivedRow[])[]): Promise<(ArchivedRow | undefined)[]> {
  const pieces: Uint8Array[] = [];
  const file = new ParquetFile({ write: async (bytes) => void pieces.push(bytes.slice()) }, rowSchema);
  for (const rows of groups) await file.writeGroup(writeColumns(rows));
  await file.finish();
  const bytes = Buffer.concat(pieces);
  const slice = (start: number, end = bytes.length): ArrayBuffer => new Uint8Array(bytes.subarray(start, end)).buffer;
  const opened = await ReadableParquet.open({ byteLength: bytes.length, slice });
  const back: (ArchivedRow | undefined)[] = [];
  for await (const row of opened.rows()) back.push(readRow(row));
  return back;
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((value) => value.toWellFormed()),
  fc.constantFrom('\ufeffmarked', '', ' ', '\u{10ffff}', '"', '\\u0000', 'x'.repeat(5_000)),
);
const time = fc.oneof(
  fc
    .tuple(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), fc.nat(999_999))
    .map(([date, micros]) => `${date.toISOString().slice(0, 19)}.${String(micros).padStart(6, '0')}`)
    .map((at) => `${at.replace(/\.?0+$/, '')}+00:00`),
  fc.constantFrom(
    'infinity',
    '-infinity',
    '4713-01-01T00:00:00+00:00 BC',
    '294276-12-31T23:59:59.999999+00:00',
    '0001-01-01T00:00:00.000001+00:00',
    '9999-12-31T23:59:59.999999+00:00',
    '1969-12-31T23:59:59.999999+00:00',
    '1970-01-01T00:00:00+00:00',
  ),
);
const number = fc.oneof(
  fc.integer().map(String),
  fc.constantFrom(
    '0.12345678901234567890',
    '1.10',
    `1${'0'.repeat(400)}`,
    '2147483648',
    '-0.0',
    '12345678901234567890',
  ),
);
const document = fc.oneof(
  fc.jsonValue().map((value) => JSON.stringify(value)),
  number,
  fc.tuple(text, number).map(([key, digits]) => `{${JSON.stringify(key)}:[${digits}],"__proto__":{"a":null}}`),
);
const row = fc
  .record(
    {
      id: fc.uuid().map((id) => JSON.stringify(id)),
      log_id: text.map((value) => JSON.stringify(value)),
      customer_id: fc.oneof(
        text.map((value) => JSON.stringify(value)),
        fc.constant('null'),
      ),
      policy_version: number,
      requires_action: fc.boolean().map(String),
      executed_at: time.map((value) => JSON.stringify(value)),
      follow_up_date: time.map((value) => JSON.stringify(value)),
      metadata: document,
      inputs: document,
      'a column of somebody’s': document,
      __proto__: document,
    },
    { requiredKeys: ['id', 'executed_at'] },
  )
  .map(
    (members) =>
      `{${Object.entries(members)
        .map(([name, json]) => `${JSON.stringify(name)}:${json}`)
        .join(',')}}`,
  );
const archived = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.uint8Array({ minLength: 128, maxLength: 144 }), row)
  .map(
    ([index, salts, json]): ArchivedRow => ({
      index,
      salts,
      erased: index % 2n === 0n ? null : '{"actor":"AAAA"}',
      content: canonicalContent(json),
    }),
  );

const plain = ({ index, salts, erased, content }: ArchivedRow) => ({
  index,
  erased,
  salts: Buffer.from(salts).toString('hex'),
  content: Array.from(content).toSorted(([a], [b]) => (a < b ? -1 : 1)),
});

test('whatever the log can hold comes back from a file as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(archived, { maxLength: 8 }), { maxLength: 2 }), async (groups) => {
      const back = await kept(groups);
      expect(back.map((each) => each && plain(each))).toEqual(groups.flat().map(plain));
      for (const each of back) expect(canonicalContent(rowJson(each?.content ?? new Map()))).toEqual(each?.content);
    }),
    { numRuns: 20 },
  );
});
