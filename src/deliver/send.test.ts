import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { httpServer, tcpServer } from '../../test/support/localServers.ts';
import { HeaderLines } from './http1/HeaderLines.ts';
import { createSender, type Sender, type SenderOptions, type SendRequest, type SendResult } from './send.ts';

function sender(options: Partial<SenderOptions> = {}): Sender {
  const created = createSender({ allowLoopback: () => true, ...options });
  onTestFinished(() => created.close());
  return created;
}

function to(url: string, request: Partial<SendRequest> = {}): SendRequest {
  return {
    url,
    headers: HeaderLines.of({ 'content-type': 'application/json' }),
    signature: {},
    body: Buffer.from('{"type":"test"}'),
    timeoutMs: 5000,
    verifySsl: true,
    environment: 'sandbox',
    ...request,
  };
}

function failureClass(result: SendResult): string {
  return result.kind === 'failure' ? result.errorClass : `response ${result.status}`;
}

describe('a request', () => {
  test('arrives once, as it was given', async () => {
    const bodies: Buffer[] = [];
    const { url, requests } = await httpServer(async (request, response) => {
      bodies.push(await buffer(request));
      response.end();
    });
    const body = Buffer.from([0x7b, 0x20, 0x00, 0xff, 0x7d]);

    await sender().send(
      to(`${url}?a=1&b=%20`, {
        body,
        headers: HeaderLines.of({ 'X-Own': 'ä', 'content-type': 'application/json' }),
        signature: { 'webhook-id': 'evt_1' },
      }),
    );

    expect(bodies).toEqual([body]);
    const [request] = requests;
    expect(request).toMatchObject({ method: 'POST', url: '/hook?a=1&b=%20' });
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': '5',
      'x-own': 'ä',
      'webhook-id': 'evt_1',
    });
    expect(request?.headers).not.toHaveProperty('accept-encoding');
  });

  test.each([200, 201, 202, 204, 304, 400, 410, 500])('reports status %i', async (status) => {
    const { url, requests } = await httpServer((_, response) => response.writeHead(status).end());

    const result = await sender().send(to(url));

    expect(result).toMatchObject({ kind: 'response', status, bodyTruncated: false });
    expect(requests).toHaveLength(1);
  });

  test.each([301, 302, 307, 308])('does not follow a redirect (%i)', async (status) => {
    const target = await httpServer((_, response) => response.end());
    const { url } = await httpServer((_, response) => response.writeHead(status, { location: target.url }).end());
    const { send } = sender();

    expect(await send(to(url))).toMatchObject({ kind: 'response', status });

    await send(to(`${target.url}/fence`));
    expect(target.requests.map((request) => request.url)).toEqual(['/hook/fence']);
  });

  test('hands out Retry-After, the first if there are several', async () => {
    const { url } = await httpServer((_, response) => {
      response.setHeader('retry-after', ['7', '9']).writeHead(503).end();
    });

    expect(await sender().send(to(url))).toMatchObject({ status: 503, retryAfter: '7' });
  });

  test('takes the final response after informational ones', async () => {
    const { url } = await httpServer((_, response) => {
      response.writeEarlyHints({ link: '</x>; rel=preload' });
      response.writeHead(201).end('done');
    });

    expect(await sender().send(to(url))).toMatchObject({ status: 201, body: Buffer.from('done') });
  });
});

describe('the timeout', () => {
  const timeoutMs = 1000;

  function expectTimeout(result: SendResult): void {
    expect(failureClass(result)).toBe('timeout');
    expect(result.durationMs).toBeGreaterThan(timeoutMs * 0.9);
    expect(result.durationMs).toBeLessThan(timeoutMs * 1.1);
  }

  test('bounds a server that accepts and never answers', async () => {
    const closed = Promise.withResolvers<void>();
    const { url } = await tcpServer((socket) => socket.once('close', () => closed.resolve()));

    expectTimeout(await sender().send(to(url, { timeoutMs })));
    await closed.promise;
  });

  test('bounds a body that trickles', async () => {
    const closed = Promise.withResolvers<void>();
    const { url } = await tcpServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n');
      const drops = setInterval(() => socket.write('.'), 20);
      socket.once('close', () => {
        clearInterval(drops);
        closed.resolve();
      });
    });

    expectTimeout(await sender().send(to(url, { timeoutMs })));
    await closed.promise;
  });

  test('bounds a TLS handshake that is never answered', async () => {
    const { url } = await tcpServer(() => {});

    expectTimeout(await sender().send(to(url.replace('http:', 'https:'), { timeoutMs })));
  });

  test('bounds a name lookup that is never answered', async () => {
    const result = await sender({ resolve: () => {} }).send(to('http://hook.example/', { timeoutMs }));

    expectTimeout(result);
  });

  test('bounds the wait for a connection, and what timed out there is never sent', async () => {
    const answer = Promise.withResolvers<void>();
    const { url, requests, connections } = await httpServer(async (_, response) => {
      await answer.promise;
      response.end();
    });
    const { send } = sender({ maxConnections: 1 });
    const first = send(to(`${url}/first`));

    expect(failureClass(await send(to(`${url}/waits`, { timeoutMs: 50 })))).toBe('timeout');
    answer.resolve();
    expect(await first).toMatchObject({ status: 200 });
    expect(await send(to(`${url}/last`))).toMatchObject({ status: 200 });

    expect(requests.map((request) => request.url)).toEqual(['/hook/first', '/hook/last']);
    expect(connections.size).toBe(1);
  });
});

describe('the response body', () => {
  const limit = 16 * 1024;

  test('is kept whole up to 16 KiB', async () => {
    const body = Buffer.alloc(limit, 'x');
    const { url } = await httpServer((_, response) => response.end(body));

    expect(await sender().send(to(url))).toMatchObject({ status: 200, body, bodyTruncated: false });
  });

  test('is cut after 16 KiB', async () => {
    const { url } = await httpServer((_, response) => response.end(Buffer.alloc(limit + 1, 'x')));

    expect(await sender().send(to(url))).toMatchObject({
      status: 200,
      body: Buffer.alloc(limit, 'x'),
      bodyTruncated: true,
    });
  });

  test('may be endless: the connection is dropped and the status is kept', async () => {
    const sent = Promise.withResolvers<number>();
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const { url } = await tcpServer((socket) => {
      const pour = () => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.on('drain', pour);
      socket.once('close', () => sent.resolve(socket.bytesWritten));
      socket.write('HTTP/1.1 202 Accepted\r\ncontent-length: 1073741824\r\n\r\n');
      pour();
    });

    const result = await sender().send(to(url));

    expect(result).toMatchObject({ kind: 'response', status: 202, bodyTruncated: true });
    // What was under way in the system's socket buffers when the connection was dropped.
    expect(await sent.promise).toBeLessThan(32 * 1024 * 1024);
  });

  test('is not inflated', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024));
    const { url } = await httpServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    });

    const result = await sender().send(to(url));

    expect(result).toMatchObject({ status: 200, body: bomb.subarray(0, limit), bodyTruncated: true });
  });
});

describe('a failure', () => {
  test.each([
    ['nothing', ''],
    ['a part of the head', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['a part of a body of known length', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345'],
    ['a part of a chunked body', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n'],
    ['a part of a last body', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\n12345'],
    ['a part of a last chunk', 'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123'],
  ])('connection_reset: reset or closed after %s', async (_, part) => {
    const resets = await tcpServer((socket) => socket.write(part, () => socket.resetAndDestroy()));
    const closes = await tcpServer((socket) => socket.end(part));
    const { send } = sender();

    expect(failureClass(await send(to(resets.url)))).toBe('connection_reset');
    expect(failureClass(await send(to(closes.url)))).toBe('connection_reset');
  });

  test('connection_refused: nobody listens', async () => {
    const { url, close } = await tcpServer(() => {});
    await close();

    expect(failureClass(await sender().send(to(url)))).toBe('connection_refused');
  });

  test.each(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL'])('dns_failure: %s', async (code) => {
    const resolve: SenderOptions['resolve'] = (name, _, callback) => {
      callback(Object.assign(new Error(`getaddrinfo ${code} ${name}`), { code }), []);
    };

    expect(failureClass(await sender({ resolve }).send(to('http://hook.example/')))).toBe('dns_failure');
  });

  test.each([
    ['another protocol', '220 mail.example ESMTP\r\n'],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'],
    ['a head that is too long', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(70_000)}\r\n\r\n`],
  ])('protocol_error: %s', async (_, answer) => {
    const { url } = await tcpServer((socket) => socket.write(answer));

    expect(failureClass(await sender().send(to(url)))).toBe('protocol_error');
  });

  test.each<[string, Partial<SendRequest>]>([
    ['a URL that is none', { url: 'hook' }],
    ['another scheme', { url: 'ftp://hook.example/' }],
    ['a header with a line break', { headers: HeaderLines.of({ 'x-own': 'a\r\nwebhook-id: forged' }) }],
    ['a header name with a space', { headers: HeaderLines.of({ 'x own': 'a' }) }],
  ])('request_invalid: %s', async (_, request) => {
    const { url, requests } = await httpServer((__, response) => response.end());

    expect(failureClass(await sender().send(to(url, request)))).toBe('request_invalid');
    expect(requests).toHaveLength(0);
  });

  test('is what close() makes of a request under way', async () => {
    const arrived = Promise.withResolvers<void>();
    const { url } = await httpServer(() => arrived.resolve());
    const closing = createSender({ allowLoopback: () => true });
    const result = closing.send(to(url));
    await arrived.promise;

    await closing.close();

    expect(failureClass(await result)).toBe('other');
  });

  test('or a response comes of any bytes whatever', async () => {
    let answer = Buffer.alloc(0);
    const { url } = await tcpServer((socket) => socket.end(answer));
    const { send } = sender();
    const head = fc.constantFrom('', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');

    await fc.assert(
      fc.asyncProperty(head, fc.uint8Array({ maxLength: 200 }), async (start, bytes) => {
        answer = Buffer.concat([Buffer.from(start), bytes]);
        expect(await send(to(url))).toHaveProperty('durationMs');
      }),
      { numRuns: 200 },
    );
  });
});
