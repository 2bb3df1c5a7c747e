import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificate, createAuthority, createCertificate } from '../support/certificates.ts';
import { tcpServer } from '../support/localServers.ts';
import { withDeadline } from '../support/signals.ts';
import { pour, resetAfter, trickle } from './badReceivers.ts';
import type { Endpoint } from './endpoint.ts';
import { resolveName } from './names.ts';
import { conformance } from './product.ts';
import { startReceiver } from './receiver.ts';

const MiB = 1024 * 1024;
const trustedBefore = getCACertificates('default');
let authority: Certificate;

beforeAll(async () => {
  authority = await createAuthority('Trusted');
  setDefaultCACertificates([...trustedBefore, authority.cert]);
});
afterAll(() => setDefaultCACertificates(trustedBefore));

conformance('receivers that fail', (product) => {
  test.each([
    { what: 'the socket is accepted and never answered', serve: () => {} },
    { what: 'one byte of the head comes a second', serve: trickle('HTTP/1.1 200 OK\r\nx-slow: ') },
    {
      what: 'headers at once, then one body byte a second',
      serve: trickle('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n'),
    },
  ])('5 $what: failure at the timeout, give or take a tenth, class `timeout`', async ({ serve }) => {
    const { url } = await tcpServer(serve);
    const deliverySettings = { timeout_ms: 2_000 };
    const endpoint = await product.endpoint(url, { deliverySettings, retryPolicy: { max_attempts: 1 } });

    const { attempts } = await endpoint.settled(await product.post());

    expect(attempts).toMatchObject([{ outcome: 'exhausted', errorClass: 'timeout', responseStatus: null }]);
    expect(attempts[0]?.durationMs).toBeGreaterThanOrEqual(1_800);
    expect(attempts[0]?.durationMs).toBeLessThanOrEqual(2_200);
  });

  const storedBytes = async ({ id }: Endpoint): Promise<number[]> => {
    const { rows } = await sql<{ bytes: number }>`
      select octet_length(response_body) as bytes from moonguard.delivery_attempts where endpoint_id = ${id}
    `.execute(product.database.db);
    return rows.map(({ bytes }) => bytes);
  };

  const bomb = gzipSync(Buffer.alloc(200 * MiB));
  test.each([
    ['an endless body', 'transfer-encoding: chunked', 202, Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`)],
    ['a body of 1 GB', 'content-length: 1000000000', 500, Buffer.alloc(MiB, 'x')],
    ['a gzip bomb', `content-encoding: gzip\r\ncontent-length: ${bomb.length}`, 200, bomb],
  ])(
    '6 memory stays bounded, the stored body is at most 16 KiB, the status is still recorded: %s',
    async (_, header, status, piece) => {
      const count = 10;
      const poured: number[] = [];
      let peak = 0;
      const { promise: allClosed, resolve } = Promise.withResolvers<void>();
      const head = `HTTP/1.1 ${status} Status\r\n${header}\r\n\r\n`;
      const onClosed = (bytes: number): void => {
        peak = Math.max(peak, process.memoryUsage().rss);
        if (poured.push(bytes) === count) resolve();
      };
      const { url } = await tcpServer(pour(head, onClosed, piece));
      const endpoint = await product.endpoint(url, { retryPolicy: { max_attempts: 1 } });
      const before = process.memoryUsage().rss;

      const eventIds = await product.postMany(count);
      await withDeadline(allClosed, () => `${poured.length} connections were dropped`);
      const deliveries = await Promise.all(eventIds.map((eventId) => endpoint.settled(eventId)));

      for (const { attempts } of deliveries) expect(attempts).toMatchObject([{ responseStatus: status }]);
      expect(await storedBytes(endpoint)).toEqual(Array(count).fill(16 * 1024));
      // What the system's socket buffers hold when the sender drops the connection.
      expect(Math.max(...poured)).toBeLessThan(32 * MiB);
      expect(peak - before).toBeLessThan(128 * MiB);
    },
  );

  test('7 reset, refused, DNS failure, expired, wrong host, self-signed: distinct error classes, all retried', async () => {
    resolveName('hook.example', ['127.0.0.1']);
    const tlsUrl = async (certificate: Certificate): Promise<string> => {
      const { port } = await startReceiver(undefined, certificate);
      return `https://hook.example:${port}/`;
    };
    const resets = await tcpServer(resetAfter('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345'));
    const refuses = await tcpServer(() => {});
    await refuses.close();
    const urls = {
      connection_reset: resets.url,
      connection_refused: refuses.url,
      dns_failure: 'http://nowhere.example/',
      tls_certificate_expired: await tlsUrl(await createCertificate('hook.example', { authority, expired: true })),
      tls_hostname_mismatch: await tlsUrl(await createCertificate('other.example', { authority })),
      tls_untrusted: await tlsUrl(await createCertificate('hook.example')),
    };
    const endpoints = await Promise.all(Object.values(urls).map((url) => product.endpoint(url)));

    const eventId = await product.post();
    const deliveries = await Promise.all(endpoints.map((endpoint) => endpoint.settled(eventId)));

    expect(deliveries.map(({ lastErrorClass }) => lastErrorClass)).toEqual(Object.keys(urls));
    for (const { attempts } of deliveries) {
      expect(attempts.map(({ outcome }) => outcome)).toEqual(['retry', 'retry', 'exhausted']);
      expect(attempts.map(({ responseStatus }) => responseStatus)).toEqual([null, null, null]);
      expect(new Set(attempts.map(({ errorClass }) => errorClass)).size).toBe(1);
    }
  });

  test('7 `verify_ssl: false` on that endpoint alone lets the self-signed one through', async () => {
    resolveName('hook.example', ['127.0.0.1']);
    const receiver = await startReceiver(undefined, await createCertificate('hook.example'));
    const url = `https://hook.example:${receiver.port}`;
    const trusting = await product.endpoint(`${url}/trusting`, { deliverySettings: { verify_ssl: false } });
    await trusting.settled(await product.post());
    const careful = await product.endpoint(`${url}/careful`);

    const eventId = await product.post();

    expect(await trusting.settled(eventId)).toMatchObject({ status: 'delivered' });
    expect(await careful.settled(eventId)).toMatchObject({ status: 'exhausted', lastErrorClass: 'tls_untrusted' });
    expect(receiver.arrivals).toHaveLength(2);
  });
});
