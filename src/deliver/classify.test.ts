import { describe, expect, test } from 'vitest';
import { classify } from './classify.ts';
import type { SendResult } from './send.ts';

function response(status: number, retryAfter?: string): SendResult {
  return { kind: 'response', status, body: Buffer.from(''), bodyTruncated: false, retryAfter, durationMs: 1 };
}

describe('classify', () => {
  test.each([200, 201, 202, 204, 226, 299])('%i is delivered', (status) => {
    expect(classify(response(status))).toEqual({ outcome: 'delivered' });
  });

  test.each([
    [103, 'http_1xx'],
    [199, 'http_1xx'],
    [300, 'http_3xx'],
    [301, 'http_3xx'],
    [304, 'http_3xx'],
    [308, 'http_3xx'],
    [400, 'http_4xx'],
    [404, 'http_4xx'],
    [429, 'http_4xx'],
    [500, 'http_5xx'],
    [503, 'http_5xx'],
    [600, 'http_other'],
    [999, 'http_other'],
  ])('%i is a failure of class %s', (status, errorClass) => {
    expect(classify(response(status))).toMatchObject({ outcome: 'failed', errorClass, disablesEndpoint: false });
  });

  test('410 disables the endpoint', () => {
    expect(classify(response(410))).toMatchObject({
      outcome: 'failed',
      errorClass: 'http_410',
      disablesEndpoint: true,
    });
  });

  test.each([
    [429, '7'],
    [503, '7'],
    [500, undefined],
    [301, undefined],
  ])('Retry-After with %i is %s', (status, retryAfter) => {
    expect(classify(response(status, '7'))).toMatchObject({ outcome: 'failed', retryAfter });
  });

  test('a failed exchange keeps its class', () => {
    const result: SendResult = { kind: 'failure', errorClass: 'tls_untrusted', message: 'self-signed', durationMs: 1 };

    expect(classify(result)).toEqual({
      outcome: 'failed',
      errorClass: 'tls_untrusted',
      retryAfter: undefined,
      disablesEndpoint: false,
    });
  });
});
