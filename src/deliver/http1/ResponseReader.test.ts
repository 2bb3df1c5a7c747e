import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Response, ResponseReader } from './ResponseReader.ts';

type Outcome = Response | 'incomplete' | 'malformed';

/** What a reader makes of a whole text, which is also all that the server sends. */
function readAll(text: string): Outcome {
  const reader = new ResponseReader();
  const read = reader.read(Buffer.from(text, 'latin1'));
  return read === 'incomplete' ? reader.end() : read;
}

function lines(...all: string[]): string {
  return all.map((line) => `${line}\r\n`).join('');
}

const withBody = (body: string, ...fields: string[]): string => `${lines('HTTP/1.1 200 OK', ...fields, '')}${body}`;
const chunked = (body: string, ...fields: string[]): string => withBody(body, 'transfer-encoding: chunked', ...fields);
const bodyOf = (outcome: Outcome): string => (typeof outcome === 'string' ? outcome : outcome.body.toString('latin1'));
const keepAliveOf = (outcome: Outcome): unknown => (typeof outcome === 'string' ? outcome : outcome.keepAliveMs);

describe('the head', () => {
  test.each([
    ['HTTP/1.1 200 OK', 200],
    ['HTTP/1.0 200 OK', 200],
    ['HTTP/1.1 200 ', 200],
    ['HTTP/1.1 200', 200],
    ['HTTP/1.1 503 Maintenance \xa0\tnow', 503],
    ['HTTP/1.1 999 Nobody knows', 999],
  ])('may begin with %j', (line, status) => {
    expect(readAll(lines(line, 'content-length: 0', ''))).toMatchObject({ status });
  });

  test.each([
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/2.0 200 OK',
    'http/1.1 200 OK',
    'HTTP/1.1 200 O\x00K',
    '',
    ' HTTP/1.1 200 OK',
  ])('may not begin with %j', (line) => {
    expect(readAll(lines(line, 'content-length: 0', ''))).toBe('malformed');
  });

  test.each([
    ['a folded line', 'x: a\r\n b'],
    ['a folded line at its beginning', ' x: a'],
    ['a line without a colon', 'x'],
    ['a line without a name', ': a'],
    ['white space before the colon', 'content-length : 0'],
    ['a name that is no token', 'x y: a'],
    ['a name outside of ASCII', 'x\xfc: a'],
    ['a CR alone', 'x: a\rb'],
    ['a LF alone', 'x: a\nb: c'],
    ['NUL', 'x: a\x00'],
    ['another control', 'x: a\x1b[31m'],
  ])('may not hold %s', (_, line) => {
    expect(readAll(lines('HTTP/1.1 200 OK', line, 'content-length: 0', ''))).toBe('malformed');
  });

  test('gives Retry-After, the first one, in whatever capitals', () => {
    expect(readAll(withBody('', 'RETRY-after: \t7 s \t', 'retry-after: 9', 'content-length: 0'))).toMatchObject({
      retryAfter: '7 s',
    });
    expect(readAll(withBody('', 'x-retry-after: 7', 'content-length: 0'))).toMatchObject({ retryAfter: undefined });
  });

  test('may have 16 KiB, with those before it', () => {
    const empty = withBody('', 'content-length: 0', 'x: ');
    const head = (length: number, before = ''): string =>
      before + withBody('', 'content-length: 0', `x: ${'x'.repeat(length - before.length - empty.length)}`);
    const early = lines('HTTP/1.1 103 Early Hints', 'link: </x>', '');

    expect(readAll(head(16 * 1024))).toMatchObject({ status: 200 });
    expect(readAll(head(16 * 1024 + 1))).toBe('malformed');
    expect(readAll(head(16 * 1024, early))).toMatchObject({ status: 200 });
    expect(readAll(head(16 * 1024 + 1, early))).toBe('malformed');
    expect(readAll(early.repeat(1000))).toBe('malformed');
  });

  test('comes after informational ones, but for a switch of protocols', () => {
    const informational = lines('HTTP/1.1 100 Continue', '') + lines('HTTP/1.1 199 x', 'content-length: 5', '');

    expect(readAll(informational + withBody('done', 'content-length: 4'))).toMatchObject({
      status: 200,
      body: Buffer.from('done'),
    });
    expect(readAll(lines('HTTP/1.1 101 Switching Protocols', 'upgrade: h2c', ''))).toBe('malformed');
  });

  test('is refused as soon as it cannot be one', () => {
    const reader = new ResponseReader();

    expect(reader.read(Buffer.from('HTT'))).toBe('incomplete');
    expect(reader.read(Buffer.from('X'))).toBe('malformed');
    expect(new ResponseReader().read(Buffer.from('220 mail.example ESMTP\r\n'))).toBe('malformed');
  });
});

describe('the length of the body', () => {
  test.each([
    ['as it is said', withBody('12345', 'content-length: 5'), '12345'],
    ['as it is said twice', withBody('12345', 'content-length: 5', 'Content-Length: 5'), '12345'],
    ['as it is said in a list', withBody('12345', 'content-length: 5 ,\t5'), '12345'],
    ['none', withBody('', 'content-length: 0'), ''],
    ['all there is', withBody('12345'), '12345'],
    ['all there is of a coding that is not chunked', withBody('12345', 'transfer-encoding: gzip'), '12345'],
    ['in chunks', chunked('5\r\n12345\r\n0\r\n\r\n'), '12345'],
    ['in chunks of another coding', withBody('1\r\nx\r\n0\r\n\r\n', 'transfer-encoding: gzip, Chunked'), 'x'],
    ['none after 204', lines('HTTP/1.1 204 No Content', 'content-length: 5', ''), ''],
    ['none after 304', lines('HTTP/1.1 304 Not Modified', 'transfer-encoding: chunked', ''), ''],
  ])('%s', (_, text, body) => expect(bodyOf(readAll(text))).toBe(body));

  test.each(['', ' ', '-1', '+1', '1.0', '0x1', '1e1', '5, 6', '5,', '5 5', '\xa05', '1'.repeat(16)])(
    'is not %j',
    (length) => expect(readAll(withBody('12345', `content-length: ${length}`))).toBe('malformed'),
  );

  test.each([
    ['two that differ', withBody('12345', 'content-length: 5', 'content-length: 4')],
    ['one beside chunks', chunked('5\r\n12345\r\n0\r\n\r\n', 'content-length: 5')],
    ['one beside another coding', withBody('12345', 'transfer-encoding: gzip', 'content-length: 5')],
    ['chunks in chunks', withBody('0\r\n\r\n', 'transfer-encoding: chunked, chunked')],
    ['a coding of chunks', withBody('0\r\n\r\n', 'transfer-encoding: chunked', 'transfer-encoding: gzip')],
  ])('is refused: %s', (_, text) => expect(readAll(text)).toBe('malformed'));

  test.each([
    ['the head', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n'],
    ['a body of known length', withBody('1234', 'content-length: 5')],
    ['a chunk', chunked('5\r\n1234')],
    ['the chunks', chunked('5\r\n12345\r\n')],
    ['the trailers', chunked('0\r\nx: y\r\n')],
  ])('is not reached when the connection ends in %s', (_, text) => expect(readAll(text)).toBe('incomplete'));
});

describe('chunks', () => {
  test.each([
    ['in either case, with zeros before them', '00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n', 20],
    ['with extensions', '1;a\r\nx\r\n1 ; a="b;\xfc" ;c=d\r\nx\r\n0;end\r\n\r\n', 2],
    ['with trailers', '1\r\nx\r\n0\r\ndigest: x\r\nempty:\r\n\r\n', 1],
    ['none', '0\r\n\r\n', 0],
  ])('%s', (_, text, length) => expect(bodyOf(readAll(chunked(text)))).toHaveLength(length));

  test.each([
    ['no size', '\r\n12345\r\n'],
    ['no number', 'x\r\n'],
    ['a negative size', '-1\r\n'],
    ['a size with 0x', '0x1\r\nx\r\n'],
    ['a size out of bounds', `${'f'.repeat(13)}\r\n`],
    ['white space before the size', ' 1\r\nx\r\n'],
    ['a LF alone after the size', '1\nx\r\n'],
    ['a CR alone in an extension', '1;a\rb\r\nx\r\n'],
    ['a control in an extension', '1;a\x00\r\nx\r\n'],
    ['more data than said', '1\r\nxy\r\n'],
    ['a LF alone after the data', '1\r\nx\n'],
    ['a trailer without a colon', '0\r\nx\r\n\r\n'],
    ['a folded trailer', '0\r\nx: y\r\n z\r\n\r\n'],
    ['an extension without end', `1;${'x'.repeat(5000)}`],
    ['trailers without end', `0\r\n${'x: y\r\n'.repeat(1000)}`],
  ])('refused: %s', (_, text) => expect(readAll(chunked(text))).toBe('malformed'));
});

describe('the kept part of a body', () => {
  const limit = 16 * 1024;
  const pieces = (text: string): string =>
    text.replaceAll(/.{1,1000}/g, (piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);

  test.each([
    ['of known length', (body: string) => withBody(body, `content-length: ${body.length}`)],
    ['in chunks', (body: string) => chunked(`${pieces(body)}0\r\n\r\n`)],
    ['up to the end of the connection', (body: string) => withBody(body)],
  ])('is 16 KiB: %s', (_, response) => {
    expect(readAll(response('x'.repeat(limit)))).toMatchObject({
      bodyTruncated: false,
      body: Buffer.alloc(limit, 'x'),
    });
    expect(readAll(response('x'.repeat(limit + 1)))).toMatchObject({
      bodyTruncated: true,
      body: Buffer.alloc(limit, 'x'),
    });
  });

  test.each([
    ['of known length', withBody('x'.repeat(limit + 1), 'content-length: 1000000000')],
    ['in a chunk', chunked(`fffffffff\r\n${'x'.repeat(limit + 1)}`)],
    ['up to the end of the connection', withBody('x'.repeat(limit + 1))],
  ])('is all that is waited for: %s', (_, begun) => {
    expect(new ResponseReader().read(Buffer.from(begun))).toMatchObject({
      status: 200,
      bodyTruncated: true,
      keepAliveMs: 0,
    });
  });
});

describe('the connection afterwards', () => {
  const kept = Number.POSITIVE_INFINITY;
  const http10 = (...fields: string[]): string => lines('HTTP/1.0 200 OK', ...fields, '');

  test.each([
    ['HTTP/1.1', withBody('', 'content-length: 0'), kept],
    ['HTTP/1.1 without a body', lines('HTTP/1.1 204 No Content', ''), kept],
    ['keep-alive', withBody('', 'content-length: 0', 'connection: keep-alive'), kept],
    ['close', withBody('', 'content-length: 0', 'connection: close'), 0],
    ['close among others', withBody('', 'content-length: 0', 'connection: x, CLOSE'), 0],
    ['close in a line of its own', withBody('', 'content-length: 0', 'connection: x', 'connection: close'), 0],
    ['a body up to its end', withBody('x'), 0],
    ['HTTP/1.0', http10('content-length: 0'), 0],
    ['HTTP/1.0 with keep-alive', http10('content-length: 0', 'connection: Keep-Alive'), kept],
    ['HTTP/1.0 with both', http10('content-length: 0', 'connection: keep-alive, close'), 0],
    ['HTTP/1.0 with chunks', `${http10('transfer-encoding: chunked', 'connection: keep-alive')}0\r\n\r\n`, 0],
    ['a hint', withBody('', 'content-length: 0', 'keep-alive: timeout=5, max=100'), 5000],
    ['a hint after another', withBody('', 'content-length: 0', 'keep-alive: max=100, timeout=75'), 75_000],
    ['a hint that is none', withBody('', 'content-length: 0', 'keep-alive: timeout=soon'), kept],
    ['bytes after the response', `${withBody('12345', 'content-length: 5')}H`, 0],
    ['a second response', withBody('', 'content-length: 0').repeat(2), 0],
    ['bytes after the chunks', chunked('0\r\n\r\n\r\n'), 0],
    ['a body after 204', `${lines('HTTP/1.1 204 No Content', 'content-length: 5', '')}12345`, 0],
  ])('%s', (_, text, keepAliveMs) => expect(keepAliveOf(readAll(text))).toBe(keepAliveMs));
});

describe('a reader', () => {
  const response = fc
    .record({
      informational: fc.nat(2),
      fields: fc.array(fc.constantFrom('date: now', 'keep-alive: timeout=5', 'retry-after: 7', 'connection: close')),
      body: fc.string({ unit: 'binary-ascii', maxLength: 300 }),
      framing: fc.constantFrom('length', 'chunked', 'end'),
      size: fc.integer({ min: 1, max: 100 }),
    })
    .map(({ informational, fields, body, framing, size }) => {
      const chunks = body.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      const coded = chunks.map((chunk) => `${chunk.length.toString(16)};x\r\n${chunk}\r\n`).join('');
      const early = lines('HTTP/1.1 103 Early Hints', 'link: </x>', '').repeat(informational);
      if (framing === 'chunked') return early + chunked(`${coded}0\r\nx: y\r\n\r\n`, ...fields);
      return early + withBody(body, ...fields, ...(framing === 'length' ? [`content-length: ${body.length}`] : []));
    });
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 10 });

  /** What it makes of the bytes, cut at these places; `end` when they are all there is. */
  function readCut(reader: ResponseReader, bytes: Buffer, places: readonly number[]): Outcome {
    const at = [0, ...places.map((place) => Math.floor(place * bytes.length)).toSorted((a, b) => a - b), bytes.length];
    // One buffer for all, as over a socket.
    const received = Buffer.alloc(bytes.length);
    for (const [index, from] of at.slice(0, -1).entries()) {
      const length = bytes.copy(received, 0, from, at[index + 1]);
      const read = reader.read(received.subarray(0, length));
      if (read !== 'incomplete') return read;
    }
    return reader.end();
  }

  test('makes the same of a response however it is cut, one after the other', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(response, cuts), { minLength: 1, maxLength: 4 }), (responses) => {
        const reader = new ResponseReader();
        for (const [text, places] of responses) {
          const whole = readAll(text);
          expect(whole).toHaveProperty('status', 200);
          expect(readCut(reader, Buffer.from(text, 'latin1'), places)).toEqual(whole);
        }
      }),
    );
  });

  test('makes the same of a response that comes byte by byte', () => {
    fc.assert(
      fc.property(response, (text) => {
        const places = Array.from(text, (_, place) => (place + 0.5) / text.length);
        expect(readCut(new ResponseReader(), Buffer.from(text, 'latin1'), places)).toEqual(readAll(text));
      }),
    );
  });

  test('makes something of any bytes whatever', () => {
    const head = fc.constantFrom(
      '',
      'HTTP/1.1 200 OK\r\n',
      withBody(''),
      chunked(''),
      withBody('', 'content-length: 9'),
    );
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 200 }), cuts, (start, bytes, places) => {
        const read = readCut(new ResponseReader(), Buffer.concat([Buffer.from(start), bytes]), places);
        expect(typeof read === 'string' ? ['incomplete', 'malformed'] : [read]).toContain(read);
      }),
    );
  });

  test('does not keep a connection on which more came than a response', () => {
    const garbage = fc.uint8Array({ minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(response, garbage, (text, bytes) => {
        fc.pre(/content-length|chunked/.test(text));
        const read = new ResponseReader().read(Buffer.concat([Buffer.from(text, 'latin1'), bytes]));
        expect(read).toMatchObject({ status: 200, keepAliveMs: 0 });
      }),
    );
  });

  test('takes a time that grows with the length alone', () => {
    const hostile = [
      withBody('', `x:${' '.repeat(16_000)}x`),
      lines('HTTP/1.1 200 OK', `content-length:${' '.repeat(16_000)}5 5`, ''),
      lines('HTTP/1.1 200 OK', `connection:${' ,'.repeat(8_000)}`, ''),
      lines('HTTP/1.1 200 OK', 'x'.repeat(16_000), ''),
      chunked('1\r\nx\r\n'.repeat(16 * 1024)),
    ];
    const startedAt = performance.now();
    for (const text of hostile) readAll(text);

    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});
