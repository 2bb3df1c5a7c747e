import { describe, expect, test } from 'vitest';
import { checkEndpointHeaders } from './endpointHeaders.ts';

function problemsOf(headers: unknown): string[] {
  return checkEndpointHeaders(headers).map(({ code, field }) => `${code} ${field}`);
}

function emptyHeaders(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '']));
}

describe('checkEndpointHeaders', () => {
  test('lets ordinary headers through', () => {
    const headers = { Authorization: 'Bearer abc.def==', 'X-Team': 'Zürich\tpayments', 'user-agent': 'own', empty: '' };

    expect(checkEndpointHeaders(headers)).toEqual([]);
    expect(checkEndpointHeaders({})).toEqual([]);
  });

  test.each([
    'webhook-id',
    'Webhook-Signature',
    'webhook-anything',
    'moonpay-signature',
    'Moonpay-Signature-V2',
    'CONTENT-TYPE',
    'content-length',
    'content-encoding',
    'Host',
    'connection',
    'keep-alive',
    'proxy-authorization',
    'proxy-connection',
    'te',
    'trailer',
    'Transfer-Encoding',
    'upgrade',
    'expect',
  ])('refuses %s', (name) => {
    expect(problemsOf({ [name]: 'x' })).toEqual([`header_reserved headers.${name}`]);
  });

  test.each(['', 'x y', 'x:y', 'x\r\ny', 'ü', ':path', 'x\0'])('refuses the name %j', (name) => {
    expect(problemsOf({ [name]: 'x' })).toEqual([`header_name_invalid headers.${name}`]);
  });

  test.each(['a\r\nwebhook-id: forged', 'a\nb', 'a\rb', 'a\0b', '\u007f', '\u0085', 'a\n', '€', '漢'])(
    'refuses the value %j',
    (value) => expect(problemsOf({ 'x-own': value })).toEqual(['header_value_invalid headers.x-own']),
  );

  test.each([1, true, null, ['a'], {}])('refuses %j, which is no string', (value) => {
    expect(problemsOf({ 'x-own': value })).toEqual(['header_value_invalid headers.x-own']);
  });

  test('refuses a name that is given twice in different capitals', () => {
    expect(problemsOf({ 'x-own': 'a', 'X-Own': 'b' })).toEqual(['header_duplicate headers.X-Own']);
  });

  test('allows 50 headers and 8 KiB', () => {
    expect(problemsOf(emptyHeaders(50))).toEqual([]);
    expect(problemsOf(emptyHeaders(51))).toEqual(['headers_too_many headers']);
    expect(problemsOf({ 'x-own': 'a'.repeat(8192 - 5) })).toEqual([]);
    expect(problemsOf({ 'x-own': 'a'.repeat(8192 - 4) })).toEqual(['headers_too_large headers']);
  });

  test.each([null, 'x-own: a', [], [['x-own', 'a']], 1])('refuses %j, which is no object', (headers) => {
    expect(problemsOf(headers)).toEqual(['headers_malformed headers']);
  });

  test('reports everything at once', () => {
    expect(problemsOf({ host: 'x', 'x y': 'x', 'x-own': 1 })).toHaveLength(3);
  });
});
