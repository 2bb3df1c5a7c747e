import { expect, test } from 'vitest';
import { HeaderLines } from './HeaderLines.ts';

test('are one line for each header', () => {
  const headers = { 'X-Team': 'Zürich\tpayments', authorization: 'Bearer a==', empty: '' };

  expect(HeaderLines.of(headers)?.text).toBe('X-Team: Zürich\tpayments\r\nauthorization: Bearer a==\r\nempty: \r\n');
  expect(HeaderLines.of({})?.text).toBe('');
});

test.each([
  ['x-own', 'a\r\nwebhook-id: forged'],
  ['x-own', 'a\r\n b'],
  ['x-own', 'a\rb'],
  ['x-own', 'a\nb'],
  ['x-own', 'a\n'],
  ['x-own', 'a\x00'],
  ['x-own', 'a\x7f'],
  ['x-own', '€'],
  ['', 'a'],
  ['x own', 'a'],
  ['x-own:', 'a'],
  ['x: a\r\nforged', 'a'],
  ['ü', 'a'],
])('are none for %j: %j', (name, value) => {
  expect(HeaderLines.of({ fine: 'a', [name]: value })).toBeUndefined();
});
