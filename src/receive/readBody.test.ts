import { once } from 'node:events';
import { connect } from 'node:net';
import { serve } from '@hono/node-server';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MoonguardError } from '../errors.ts';
import { readBody } from './readBody.ts';

const limit = 100_000;

type Chunks = ReadableStream<Uint8Array>;

function request(body: Chunks | Uint8Array<ArrayBuffer> | null, headers: Record<string, string> = {}): Request {
  return new Request('http://localhost/', { method: 'POST', body, headers, duplex: 'half' });
}

/** A stream of chunks that records how many were asked for and whether it was cancelled. */
function chunks(parts: Iterable<Uint8Array>): { stream: Chunks; seen: { pulled: number; cancelled: boolean } } {
  const seen = { pulled: 0, cancelled: false };
  const iterator = parts[Symbol.iterator]();
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const next = iterator.next();
        if (next.done === true) return controller.close();
        seen.pulled++;
        controller.enqueue(next.value);
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, seen };
}

function* endless(chunk: Uint8Array): Generator<Uint8Array> {
  for (;;) yield chunk;
}

const refusedWith = (code: string) => expect.objectContaining({ name: 'MoonguardError', code });

describe('of a known length', () => {
  test('gives the bytes as they came, also up to the limit', async () => {
    const bytes = new Uint8Array(limit).map((_, at) => at);
    expect(await readBody(request(bytes, { 'content-length': String(limit) }), limit)).toEqual(bytes);
  });

  test('over the limit is refused before anything is read', async () => {
    const { stream, seen } = chunks(endless(new Uint8Array(10)));
    const tooLong = request(stream, { 'content-length': String(limit + 1) });
    await expect(readBody(tooLong, limit)).rejects.toEqual(refusedWith('body_too_large'));
    expect(seen.pulled).toBe(0);
  });

  test('that is longer than declared is refused, not cut', async () => {
    const longer = request(new Uint8Array(limit + 1), { 'content-length': '10' });
    await expect(readBody(longer, limit)).rejects.toEqual(refusedWith('body_too_large'));
  });
});

describe('of unknown length', () => {
  test('gives the bytes as they came, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 12 }), async (parts) => {
        const body = await readBody(request(chunks(parts).stream), limit * 10);
        expect(Buffer.compare(body, Buffer.concat(parts))).toBe(0);
      }),
    );
  });

  test('up to the limit is taken', async () => {
    const { stream } = chunks([new Uint8Array(limit - 1), new Uint8Array(1)]);
    expect(await readBody(request(stream), limit)).toHaveLength(limit);
  });

  test('over the limit is refused at once and the stream is cancelled', async () => {
    const { stream, seen } = chunks(endless(new Uint8Array(40_000)));
    await expect(readBody(request(stream), limit)).rejects.toEqual(refusedWith('body_too_large'));
    expect(seen).toEqual({ pulled: 3, cancelled: true });
  });

  test('with a content-length that is no number is still held to the limit', async () => {
    const { stream, seen } = chunks(endless(new Uint8Array(40_000)));
    const odd = request(stream, { 'content-length': 'abc' });
    await expect(readBody(odd, limit)).rejects.toEqual(refusedWith('body_too_large'));
    expect(seen.pulled).toBe(3);
  });

  test('a request without a body gives no bytes', async () => {
    expect(await readBody(request(null), limit)).toHaveLength(0);
  });
});

describe('content-encoding', () => {
  test.each(['gzip', 'br', 'identity, gzip', 'unheard-of'])('%s is refused', async (encoding) => {
    const encoded = request(new Uint8Array(3), { 'content-encoding': encoding });
    await expect(readBody(encoded, limit)).rejects.toEqual(refusedWith('content_encoding_unsupported'));
  });

  test.each(['identity', 'Identity '])('%j is accepted', async (encoding) => {
    expect(await readBody(request(new Uint8Array(3), { 'content-encoding': encoding }), limit)).toHaveLength(3);
  });
});

async function answer(incoming: Request): Promise<Response> {
  try {
    return new Response((await readBody(incoming, 10)).slice());
  } catch (error) {
    if (error instanceof MoonguardError) return new Response(error.code, { status: error.status });
    throw error;
  }
}

/** What a server that answers with the body, or with the code of the refusal, sends first. */
async function answerTo(raw: string): Promise<string> {
  const { promise: listening, resolve: listens } = Promise.withResolvers<number>();
  const server = serve({ fetch: answer, port: 0, hostname: '127.0.0.1' }, ({ port }) => listens(port));
  onTestFinished(() => void server.close());
  const socket = connect(await listening, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(raw);
  const [first] = await once(socket, 'data');
  return String(first);
}

describe('over a socket', () => {
  const head = 'POST / HTTP/1.1\r\nhost: localhost\r\n';

  test.each([
    ['content-length', `${head}content-length: 6\r\n\r\n{ "a"}`],
    ['chunks', `${head}transfer-encoding: chunked\r\n\r\n1\r\n{\r\n5\r\n "a"}\r\n0\r\n\r\n`],
  ])('a body with %s arrives whole', async (_, raw) => {
    expect(await answerTo(raw)).toMatch(/^HTTP\/1.1 200 [^]*\{ "a"\}/);
  });

  test('the sender of endless chunks is told 413 while it is still sending', async () => {
    const unfinished = `${head}transfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n`;
    expect(await answerTo(unfinished)).toMatch(/^HTTP\/1.1 413 [^]*body_too_large/);
  });

  test('the sender of a long content-length is told 413 before it has sent', async () => {
    expect(await answerTo(`${head}content-length: 11\r\n\r\n`)).toMatch(/^HTTP\/1.1 413 [^]*body_too_large/);
  });
});
