import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMessageReader } from './httpMessages.ts';

function read(chunks: readonly Buffer[]): string[] {
  const heads: string[] = [];
  const reader = createMessageReader((head) => heads.push(head));
  for (const chunk of chunks) reader(chunk);
  return heads;
}

test('finds every message, however the bytes are cut', () => {
  const messages = [
    'POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\n{\r\n\r\n}',
    'HTTP/1.1 204 No Content\r\ncontent-length:0\r\n\r\n',
    'POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}',
  ];
  const bytes = Buffer.from(messages.join(''));
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (places) => {
      const cuts = [0, ...places.toSorted((a, b) => a - b), bytes.length];
      const heads = read(cuts.map((cut, index) => bytes.subarray(cut, cuts[index + 1] ?? bytes.length)));
      expect(heads).toEqual(messages.map((message) => message.split('\r\n\r\n')[0]));
    }),
  );
});

test('says so when a message has no length', () => {
  expect(() => read([Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')])).toThrow(
    'without Content-Length',
  );
});
