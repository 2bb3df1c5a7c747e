import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAuthority, createCertificate } from '../../test/support/certificates.ts';
import { httpServer, httpsServer, tcpServer } from '../../test/support/localServers.ts';
import { HeaderLines } from './http1/HeaderLines.ts';
import { createSender, type Sender, type SenderOptions, type SendRequest, type SendResult } from './send.ts';

function startSender(options: Partial<SenderOptions> = {}): Sender {
  const created = createSender({ allowLoopback: () => true, ...options });
  onTestFinished(() => created.close());
  return created;
}

function sendTo(sender: Sender, url: string, request: Partial<SendRequest> = {}): Promise<SendResult> {
  return sender.send({
    url,
    headers: HeaderLines.of({}),
    signature: {},
    body: Buffer.from('{}'),
    timeoutMs: 5000,
    verifySsl: true,
    environment: 'sandbox',
    ...request,
  });
}

function onlyOf(connections: ReadonlySet<Socket>): Socket {
  const [first] = connections;
  if (first === undefined) throw new Error('There was no connection.');
  return first;
}

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('a connection', () => {
  test('is used again, the one that was free last', async () => {
    const held: (() => void)[] = [];
    const bothCame = Promise.withResolvers<void>();
    const { url, connections } = await httpServer(({ socket }, response) => {
      const answer = () => response.end(String([...connections].indexOf(socket)));
      if (held.length === 2) answer();
      else if (held.push(answer) === 2) bothCame.resolve();
    });
    const sender = startSender();
    const both = [sendTo(sender, url), sendTo(sender, url)];
    await bothCame.promise;
    for (const [place, answer] of held.entries()) {
      answer();
      await both[place];
    }

    for (let count = 0; count < 3; count += 1) {
      expect(await sendTo(sender, url)).toMatchObject({ body: Buffer.from('1') });
    }
    expect(connections.size).toBe(2);
  });

  test('serves the requests that wait for one, in their order', async () => {
    const { url, requests, connections } = await httpServer((_, response) => response.end());
    const sender = startSender({ maxConnections: 1 });

    const paths = Array.from({ length: 50 }, (_, place) => `/hook/${place}`);
    const results = await Promise.all(paths.map((path) => sendTo(sender, new URL(path, url).href)));

    expect(results).toEqual(paths.map(() => expect.objectContaining({ status: 200 })));
    expect(requests.map((request) => request.url)).toEqual(paths);
    expect(connections.size).toBe(1);
  });

  test('makes room for another when it fails', async () => {
    const { url, connections } = await tcpServer((socket) => socket.destroy());
    const sender = startSender({ maxConnections: 1 });

    const results = await Promise.all([sendTo(sender, url), sendTo(sender, url), sendTo(sender, url)]);

    const reset = { kind: 'failure', errorClass: 'connection_reset' };
    expect(results).toMatchObject([reset, reset, reset]);
    expect(connections.size).toBe(3);
  });

  test('that times out while it is made makes room for another', async () => {
    const { port, requests } = await httpServer((_, response) => response.end());
    const lookups: (() => void)[] = [];
    const resolve: SenderOptions['resolve'] = (_name, _options, callback) => {
      lookups.push(() => callback(null, [{ address: '127.0.0.1', family: 4 }]));
    };
    const sender = startSender({ maxConnections: 1, resolve });
    const url = `http://hook.example:${port}/`;
    const first = sendTo(sender, `${url}first`, { timeoutMs: 50 });
    const second = sendTo(sender, `${url}second`);

    expect(await first).toMatchObject({ errorClass: 'timeout' });
    for (const answer of lookups) answer();
    expect(await second).toMatchObject({ status: 200 });
    expect(requests.map((request) => request.url)).toEqual(['/second']);
  });

  test('is not used again when the server says that it closes it', async () => {
    const answers = [
      ok.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'),
      ok.replace('HTTP/1.1', 'HTTP/1.0'),
      ok.replace('\r\n\r\n', '\r\nkeep-alive: timeout=1\r\n\r\n'),
    ];
    const closed: Promise<unknown>[] = [];
    const { url, connections } = await tcpServer((socket) => {
      closed.push(once(socket, 'close'));
      socket.write(answers[closed.length - 1] ?? ok);
    });
    const sender = startSender();

    for (const _ of answers) expect(await sendTo(sender, url)).toMatchObject({ status: 200 });
    await Promise.all(closed);
    expect(connections.size).toBe(answers.length);
  });

  test('is not used again when the server has closed it', async () => {
    const { url, connections } = await httpServer((_, response) => response.end());
    const sender = startSender();
    await sendTo(sender, url);
    const socket = onlyOf(connections);
    const closed = once(socket, 'close');

    socket.end();
    await closed;
    expect(await sendTo(sender, url)).toMatchObject({ status: 200 });
    expect(connections.size).toBe(2);
  });

  test('is closed when nobody has used it for 4 s', async () => {
    const { url, connections } = await tcpServer((socket) => socket.write(ok));
    await sendTo(startSender(), url);
    const startedAt = performance.now();

    await once(onlyOf(connections), 'close');
    expect(performance.now() - startedAt).toBeGreaterThan(3_500);
  }, 10_000);
});

test.each(['http', 'https'])('of several addresses the next one is tried: %s', async (scheme) => {
  const answer = (_: unknown, response: ServerResponse) => response.end('ok');
  const certificate = await createCertificate('hook.example');
  const { port } = scheme === 'http' ? await httpServer(answer) : await httpsServer(certificate, answer);
  const sender = startSender({
    resolve: (_name, _options, callback) => {
      // The server listens on the second one alone.
      callback(
        null,
        ['127.0.0.2', '127.0.0.1'].map((address) => ({ address, family: 4 })),
      );
    },
  });

  const results = [];
  for (let count = 0; count < 2; count += 1) {
    results.push(await sendTo(sender, `${scheme}://hook.example:${port}/`, { verifySsl: false }));
  }
  expect(results).toMatchObject([{ body: Buffer.from('ok') }, { body: Buffer.from('ok') }]);
});

describe('what comes without a request', () => {
  test.each([
    ['with a response', (socket: Socket) => void socket.write(`${ok}${ok.replace('200', '500')}`)],
    ['after a response', (socket: Socket) => void socket.write(ok, () => socket.write(ok.replace('200', '500')))],
  ])('%s closes the connection and is no answer to the next one', async (_, answer) => {
    const closed = Promise.withResolvers<void>();
    const { url, connections } = await tcpServer((socket) => {
      socket.once('close', () => closed.resolve());
      if (connections.size === 1) answer(socket);
      else socket.write(ok);
    });
    const sender = startSender();

    expect(await sendTo(sender, url)).toMatchObject({ status: 200, body: Buffer.from('ok') });
    await closed.promise;
    expect(await sendTo(sender, url)).toMatchObject({ status: 200 });
    expect(connections.size).toBe(2);
  });
});

describe('a response counts', () => {
  const body = Buffer.alloc(8 * 1024 * 1024, 'x');

  test('when it was complete before the connection was reset', async () => {
    const { url } = await tcpServer((socket) => socket.write(ok, () => socket.resetAndDestroy()));
    const sender = startSender();

    const results = await Promise.all(Array.from({ length: 50 }, () => sendTo(sender, url)));
    expect(results).toEqual(results.map(() => expect.objectContaining({ status: 200 })));
  });

  test('when it comes before the request was sent, which is then broken off', async () => {
    const { url, connections } = await tcpServer((socket) => {
      socket.pause().write(ok.replace('200 OK', '413 Content Too Large'));
    });

    expect(await sendTo(startSender(), url, { body })).toMatchObject({ status: 413, body: Buffer.from('ok') });
    const socket = onlyOf(connections);
    await once(socket.resume(), 'close');
    expect(socket.bytesRead).toBeLessThan(body.length);
  });

  test('when the server closes without having read the request', async () => {
    const { url } = await tcpServer((socket) => {
      socket.pause().write(ok.replace('200 OK', '413 Content Too Large'), () => socket.destroy());
    });
    const sender = startSender();

    for (let count = 0; count < 20; count += 1) {
      expect(await sendTo(sender, url, { body })).toMatchObject({ status: 413 });
    }
  });
});

test.each([0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])('a body of %i bytes arrives', async (length) => {
  const bodies: Buffer[] = [];
  const { url, requests, connections } = await httpServer(async (request, response) => {
    bodies.push(await buffer(request));
    response.end();
  });
  const sender = startSender();
  const body = randomBytes(length);

  for (let count = 0; count < 2; count += 1) expect(await sendTo(sender, url, { body })).toMatchObject({ status: 200 });
  expect(bodies.map((each) => each.equals(body))).toEqual([true, true]);
  expect(requests[0]?.headers['content-length']).toBe(String(length));
  expect(connections.size).toBe(1);
});

describe('close()', () => {
  test('fails what waits for a connection, and what comes later', async () => {
    const arrived = Promise.withResolvers<void>();
    const { url, requests } = await httpServer(() => arrived.resolve());
    const sender = createSender({ allowLoopback: () => true, maxConnections: 1 });
    const results = [sendTo(sender, url), sendTo(sender, url)];
    await arrived.promise;

    await sender.close();

    const other = { kind: 'failure', errorClass: 'other' };
    expect(await Promise.all([...results, sendTo(sender, url)])).toMatchObject([other, other, other]);
    expect(requests).toHaveLength(1);
  });
});

describe('a connection with TLS', () => {
  const host = 'hook.example';

  async function startSecureServer(answer: (socket: TLSSocket) => string) {
    const authority = await createAuthority('Trusted');
    const trustedBefore = getCACertificates('default');
    setDefaultCACertificates([...trustedBefore, authority.cert]);
    onTestFinished(() => setDefaultCACertificates(trustedBefore));
    const server = await httpsServer(await createCertificate(host, { authority }), ({ socket }, response) => {
      response.setHeader('connection', 'close').end(socket instanceof TLSSocket ? answer(socket) : '');
    });
    return { ...server, url: `https://${host}:${server.port}/` };
  }

  const resolve: SenderOptions['resolve'] = (_name, _options, callback) => {
    callback(null, [{ address: '127.0.0.1', family: 4 }]);
  };

  test('takes up the session of the one before, of the same rules alone', async () => {
    const { url } = await startSecureServer((socket) => String(socket.isSessionReused()));
    const sender = startSender({ resolve });
    const send = async (request?: Partial<SendRequest>) => {
      const result = await sendTo(sender, url, request);
      return result.kind === 'response' ? Buffer.from(result.body).toString() : result.errorClass;
    };

    expect([await send(), await send(), await send()]).toEqual(['false', 'true', 'true']);
    expect([await send({ verifySsl: false }), await send({ verifySsl: false })]).toEqual(['false', 'true']);
  });

  test('asks for the name and for HTTP/1.1', async () => {
    const { url } = await startSecureServer(({ servername, alpnProtocol }) => `${servername} ${alpnProtocol}`);

    expect(await sendTo(startSender({ resolve }), url)).toMatchObject({ body: Buffer.from(`${host} http/1.1`) });
  });

  test('asks an address for no name', async () => {
    const { port } = await startSecureServer(({ servername }) => String(servername));

    const result = await sendTo(startSender(), `https://127.0.0.1:${port}/`, { verifySsl: false });
    expect(result).toMatchObject({ body: Buffer.from('false') });
  });

  test('is not made with a client certificate that is none', async () => {
    const { url } = await startSecureServer(() => 'ok');
    const clientCertificate = { id: 'broken', cert: 'none', key: 'none' };

    expect(await sendTo(startSender({ resolve }), url, { clientCertificate })).toMatchObject({ kind: 'failure' });
  });
});
