import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createCertificate } from '../support/certificates.ts';
import { tcpServer } from '../support/localServers.ts';
import { resolveName } from './names.ts';
import { conformance, type Product } from './product.ts';
import { startReceiver } from './receiver.ts';

const spellings = [
  '127.0.0.1',
  '127.1',
  '127.255.255.254',
  '2130706433',
  '0177.0.0.1',
  '017700000001',
  '0x7f.0.0.1',
  '0x7f000001',
  '127.0.0.1.',
  '①②⑦.⓪.⓪.①',
  '0.0.0.0',
  '0',
  '169.254.169.254',
  '10.0.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[2002:7f00:1::]',
  '[fe80::1]',
  '[fd00::1]',
  'localhost',
  'LOCALHOST',
];

const once = { retryPolicy: { max_attempts: 1 } } as const;
const refused = { status: 'exhausted', lastErrorClass: 'destination_refused', lastResponseStatus: null };

/** Counts connections on a port of this machine; nobody should come. */
const trap = () => tcpServer((socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));

/** An endpoint whose URL was changed behind the service's back: what counts is that nothing connects. */
async function endpointAt(product: Product, url: string) {
  const endpoint = await product.endpoint('https://public.example/', once);
  await sql`update moonpay_webhook_config set url = ${url} where id = ${endpoint.id}`.execute(product.database.db);
  return endpoint;
}

conformance(
  'destinations, as they are by default',
  (product) => {
    test.each(spellings)('19 never connects, class `destination_refused`: %s', async (host) => {
      const { port, connections } = await trap();
      const url = `http://${host}:${port}/`;

      await expect(product.endpoint(url)).rejects.toMatchObject({ problems: [{ code: 'url_private' }] });
      const endpoint = await endpointAt(product, url);
      expect(await endpoint.settled(await product.post())).toMatchObject(refused);
      expect(connections.size).toBe(0);
    });

    test.each([
      ['a name that resolves to a private address', ['10.0.0.1']],
      ['a name that resolves to this machine', ['127.0.0.1']],
      ['a name that resolves to the metadata service', ['169.254.169.254']],
      ['a name that resolves to an IPv6 address with a private one inside', ['::ffff:127.0.0.1']],
      ['a name that resolves to a NAT64 address', ['64:ff9b::7f00:1']],
      ['a name with mixed records', ['8.8.8.8', '127.0.0.1']],
      ['a name with mixed records, the private one first', ['127.0.0.1', '8.8.8.8']],
      ['a name with mixed records of both families', ['2606:4700::1111', '10.0.0.1']],
    ])('19 never connects, class `destination_refused`: %s', async (_, addresses) => {
      resolveName('hook.example', addresses);
      const { port, connections } = await trap();
      const endpoint = await product.endpoint(`http://hook.example:${port}/`, once);

      expect(await endpoint.settled(await product.post())).toMatchObject(refused);
      expect(connections.size).toBe(0);
    });
  },
  { allowLoopbackDestinations: false },
);

conformance('destinations, where the sandbox may be on this machine', (product) => {
  test('19 a name that flips between check and connect: what is connected to is what was checked', async () => {
    resolveName('hook.example', ['127.0.0.1'], ['169.254.169.254']);
    const receiver = await startReceiver((response) => response.setHeader('connection', 'close').end());
    const endpoint = await product.endpoint(`http://hook.example:${receiver.port}/`);

    // One lookup is check and connection together; the next connection looks up, and checks, anew.
    expect(await endpoint.settled(await product.post())).toMatchObject({ status: 'delivered', attemptsCount: 1 });
    expect(await endpoint.settled(await product.post())).toMatchObject(refused);
    expect(receiver.connections.size).toBe(1);
  });

  test.each(['http://127.0.0.1', 'http://localhost', 'http://[::1]', 'http://169.254.169.254'])(
    '19 a redirect to a private address: never connects: %s',
    async (origin) => {
      const { port, connections } = await trap();
      const receiver = await startReceiver((response) =>
        response.writeHead(307, { location: `${origin}:${port}/` }).end(),
      );
      const endpoint = await product.endpoint(receiver.url, once);

      expect(await endpoint.settled(await product.post())).toMatchObject({ lastErrorClass: 'http_3xx' });
      expect(connections.size).toBe(0);
    },
  );

  test.each(['0.0.0.0', '10.0.0.1', '169.254.169.254', '[fd00::1]', '[::ffff:10.0.0.1]'])(
    '19 loopback may be allowed, and nothing else that is private: %s',
    async (host) => {
      const { port, connections } = await trap();
      const endpoint = await endpointAt(product, `http://${host}:${port}/`);

      expect(await endpoint.settled(await product.post())).toMatchObject(refused);
      expect(connections.size).toBe(0);
    },
  );

  test('19 production never allows loopback', async () => {
    resolveName('hook.example', ['127.0.0.1']);
    const certificate = await createCertificate('hook.example');
    const receiver = await startReceiver(undefined, certificate);
    const deliverySettings = { verify_ssl: false };
    const url = `https://hook.example:${receiver.port}/`;
    const inSandbox = await product.endpoint(`${url}sandbox`, { deliverySettings });
    const inProduction = await product.endpoint(url, { deliverySettings, environment: 'production' });
    await expect(
      product.endpoint(`https://127.0.0.1:${receiver.port}/`, { environment: 'production' }),
    ).rejects.toMatchObject({ problems: [{ code: 'url_private' }] });

    // The connection that the sandbox has open is of no use to production.
    expect(await inSandbox.settled(await product.post())).toMatchObject({ status: 'delivered' });
    expect(await inProduction.settled(await product.post(undefined, 'production'))).toMatchObject(refused);
    expect(receiver.arrivals).toHaveLength(1);
    expect(receiver.connections.size).toBe(1);
  });
});
