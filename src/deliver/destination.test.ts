import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { httpServer } from '../../test/support/localServers.ts';
import type { Environment } from '../observe/observation.ts';
import { guardedLookup, isPublicAddress, type Resolve } from './destination.ts';
import { HeaderLines } from './http1/HeaderLines.ts';
import { createSender, type Sender, type SenderOptions, type SendResult } from './send.ts';

function resolvesTo(...addresses: string[]): Resolve {
  return (_name, _options, callback) => {
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
}

function createClosedSender(options: Partial<SenderOptions> = {}): Sender {
  const created = createSender({ allowLoopback: () => false, ...options });
  onTestFinished(() => created.close());
  return created;
}

function sendWith(sender: Sender, url: string, environment: Environment = 'sandbox'): Promise<SendResult> {
  return sender.send({
    url,
    headers: HeaderLines.of({}),
    signature: {},
    body: Buffer.from('{}'),
    timeoutMs: 5000,
    verifySsl: true,
    environment,
  });
}

describe('isPublicAddress', () => {
  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.15.255.255',
    '172.32.0.1',
    '100.63.255.255',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
  ])('%s is', (address) => expect(isPublicAddress(address)).toBe(true));

  test.each([
    ['unspecified', '0.0.0.0'],
    ['unspecified', '::'],
    ['this network', '0.1.2.3'],
    ['loopback', '127.0.0.1'],
    ['loopback', '127.255.255.254'],
    ['loopback', '::1'],
    ['private', '10.0.0.1'],
    ['private', '172.16.0.1'],
    ['private', '172.31.255.255'],
    ['private', '192.168.1.1'],
    ['unique local', 'fc00::1'],
    ['unique local', 'fdff::1'],
    ['link-local, with cloud metadata', '169.254.169.254'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['site-local', 'fec0::1'],
    ['the host of a virtual machine of Azure', '168.63.129.16'],
    ['the same, IPv4-mapped', '::ffff:168.63.129.16'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['protocol assignments', '192.0.0.1'],
    ['documentation', '192.0.2.1'],
    ['documentation', '198.51.100.1'],
    ['documentation', '203.0.113.1'],
    ['documentation', '2001:db8::1'],
    ['benchmarking', '198.18.0.1'],
    ['multicast', '224.0.0.1'],
    ['multicast', 'ff02::1'],
    ['reserved', '240.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
    ['IPv4-mapped loopback in hexadecimal', '::ffff:7f00:1'],
    ['IPv4-mapped private', '::ffff:10.0.0.1'],
    ['IPv4-compatible loopback', '::7f00:1'],
    ['IPv4-translated loopback', '::ffff:0:7f00:1'],
    ['NAT64 of loopback', '64:ff9b::7f00:1'],
    ['NAT64 of a public address', '64:ff9b::808:808'],
    ['local NAT64', '64:ff9b:1::7f00:1'],
    ['6to4', '2002:7f00:1::1'],
    ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
    ['discard', '100::1'],
    ['outside global unicast', '4000::1'],
    ['an octal spelling', '0177.0.0.1'],
    ['an octal spelling that is public when read as decimal', '010.8.8.8'],
    ['a hexadecimal spelling', '0x7f.0.0.1'],
    ['a number', '2130706433'],
    ['a name', 'hook.example'],
    ['nothing', ''],
  ])('%s is not: %s', (_, address) => expect(isPublicAddress(address)).toBe(false));
});

interface Found {
  error: NodeJS.ErrnoException | null;
  address: unknown;
  family: number | undefined;
}

function find(resolve: Resolve, options: { all?: boolean } = {}, allowLoopback = false): Promise<Found> {
  const { promise, resolve: found } = Promise.withResolvers<Found>();
  const lookup = guardedLookup({ allowLoopback }, resolve);
  lookup('hook.example', options, (error, address, family) => found({ error, address, family }));
  return promise;
}

describe('guardedLookup', () => {
  test('gives all public addresses, or the first one', async () => {
    const resolve = resolvesTo('8.8.8.8', '2606:4700::1111');

    expect(await find(resolve, { all: true })).toMatchObject({
      error: null,
      address: [
        { address: '8.8.8.8', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ],
    });
    expect(await find(resolve)).toMatchObject({ error: null, address: '8.8.8.8', family: 4 });
  });

  test.each([[['10.0.0.1']], [['8.8.8.8', '127.0.0.1']], [['::ffff:169.254.169.254']], [['64:ff9b::7f00:1']], [[]]])(
    'refuses %j',
    async (addresses) => {
      const resolve = resolvesTo(...addresses);

      expect((await find(resolve, { all: true })).error).toMatchObject({ code: 'destination_refused' });
      expect((await find(resolve)).error).toMatchObject({ code: 'destination_refused' });
    },
  );

  test('lets loopback through where it is allowed, and no other private address', async () => {
    expect(await find(resolvesTo('127.0.0.1', '::1'), {}, true)).toMatchObject({ error: null, address: '127.0.0.1' });
    expect((await find(resolvesTo('127.0.0.1', '10.0.0.1'), {}, true)).error).toMatchObject({
      code: 'destination_refused',
    });
    expect((await find(resolvesTo('0.0.0.0'), {}, true)).error).toMatchObject({ code: 'destination_refused' });
  });

  test('hands on what the resolver reports', async () => {
    const error = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });

    expect((await find((_name, _options, callback) => callback(error, []))).error).toBe(error);
  });

  test('resolves the name of this machine with the system', async () => {
    const { port } = await httpServer((_, response) => response.end());
    const refused = connect({ host: 'localhost', port, lookup: guardedLookup({ allowLoopback: false }) });
    const allowed = connect({ host: 'localhost', port, lookup: guardedLookup({ allowLoopback: true }) });
    onTestFinished(() => void allowed.destroy());

    const [[error]] = await Promise.all([once(refused, 'error'), once(allowed, 'connect')]);
    expect(error).toMatchObject({ code: 'destination_refused' });
  });

  test('asks once for connections that wait for the same name, and again afterwards', () => {
    const asked: Parameters<Resolve>[] = [];
    const lookup = guardedLookup({ allowLoopback: false }, (...question) => asked.push(question));
    const found: unknown[] = [];
    const look = () => lookup('hook.example', {}, (_error, address) => found.push(address));

    look();
    look();
    expect(asked).toHaveLength(1);
    asked[0]?.[2](null, [{ address: '8.8.8.8', family: 4 }]);
    expect(found).toEqual(['8.8.8.8', '8.8.8.8']);

    look();
    expect(asked).toHaveLength(2);
  });
});

describe('a sender', () => {
  const refused = { kind: 'failure', errorClass: 'destination_refused' };

  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0177.0.0.1',
    '0x7f.0.0.1',
    '0x7f000001',
    '017700000001',
    '0.0.0.0',
    '0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '169.254.169.254',
    'localhost',
  ])('never connects to %s', async (host) => {
    const { port, connections } = await httpServer((_, response) => response.end());

    expect(await sendWith(createClosedSender(), `http://${host}:${port}/`)).toMatchObject(refused);
    expect(connections.size).toBe(0);
  });

  test('never connects to a name with one private address', async () => {
    const { port, connections } = await httpServer((_, response) => response.end());
    const mixed = createClosedSender({ resolve: resolvesTo('8.8.8.8', '127.0.0.1') });

    expect(await sendWith(mixed, `http://hook.example:${port}/`)).toMatchObject(refused);
    expect(connections.size).toBe(0);
  });

  test('connects to the address that was checked, and checks every connection', async () => {
    const { port, connections } = await httpServer((_, response) => response.setHeader('connection', 'close').end());
    const answers = ['127.0.0.1', '169.254.169.254'];
    const flipping = createClosedSender({
      allowLoopback: () => true,
      resolve: (name, options, callback) => resolvesTo(answers.shift() ?? '10.0.0.1')(name, options, callback),
    });

    expect(await sendWith(flipping, `http://hook.example:${port}/`)).toMatchObject({ status: 200 });
    // One lookup for check and connection together: there is no second answer that could be another.
    expect(answers).toEqual(['169.254.169.254']);
    expect(await sendWith(flipping, `http://hook.example:${port}/`)).toMatchObject(refused);
    expect(connections.size).toBe(1);
  });

  test('allows loopback by environment, and shares no connection between the two', async () => {
    const { url, requests } = await httpServer((_, response) => response.end());
    const byEnvironment = createClosedSender({ allowLoopback: (environment) => environment === 'sandbox' });

    expect(await sendWith(byEnvironment, url, 'sandbox')).toMatchObject({ status: 200 });
    expect(await sendWith(byEnvironment, url.replace('127.0.0.1', 'localhost'), 'sandbox')).toMatchObject({
      status: 200,
    });
    expect(await sendWith(byEnvironment, url, 'production')).toMatchObject(refused);
    expect(await sendWith(byEnvironment, url.replace('127.0.0.1', 'localhost'), 'production')).toMatchObject(refused);
    expect(requests).toHaveLength(2);
  });
});
