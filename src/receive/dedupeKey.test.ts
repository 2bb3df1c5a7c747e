import { expect, test } from 'vitest';
import { dedupeKey } from './dedupeKey.ts';

const event = {
  environment: 'sandbox',
  type: 'transaction_updated',
  id: '0a5bb889',
  updatedAt: '2026-02-13T11:45:00.000Z',
  rawBody: Buffer.from('{}'),
} as const;
// printf '{}' | sha256sum
const byHash = 'sandbox:sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

test('is made of environment, type, id and time of change, whatever the bytes', () => {
  expect(dedupeKey(event)).toBe('sandbox:transaction_updated:0a5bb889:2026-02-13T11:45:00.000Z');
  expect(dedupeKey({ ...event, rawBody: Buffer.from('{ }') })).toBe(dedupeKey(event));
});

test.each([
  ['the type is missing', { type: '' }],
  ['the id is missing', { id: undefined }],
  ['the id is empty', { id: '' }],
  ['the time is missing', { updatedAt: undefined }],
  ['the time is empty', { updatedAt: '' }],
  ['the type is too long', { type: 't'.repeat(201) }],
  ['the id is too long', { id: 'i'.repeat(201) }],
  ['the time is too long', { updatedAt: '9'.repeat(201) }],
  ['the type could be read as type and id', { type: 'a:b' }],
  ['the id could be read as id and time', { id: 'a:b' }],
])('is the hash of the body when %s', (_, over) => {
  expect(dedupeKey({ ...event, ...over })).toBe(byHash);
});

test('takes parts of 200 characters', () => {
  expect(dedupeKey({ ...event, id: 'i'.repeat(200) })).toContain('iii');
});

test('keeps the environments apart', () => {
  expect(dedupeKey({ ...event, environment: 'production' })).not.toBe(dedupeKey(event));
  expect(dedupeKey({ ...event, id: undefined, environment: 'production' })).toBe(
    byHash.replace('sandbox', 'production'),
  );
});
