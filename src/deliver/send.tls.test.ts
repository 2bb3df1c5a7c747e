import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Certificate, createAuthority, createCertificate } from '../../test/support/certificates.ts';
import { httpServer, httpsServer } from '../../test/support/localServers.ts';
import type { ClientCertificate } from './http1/connect.ts';
import { HeaderLines } from './http1/HeaderLines.ts';
import { createSender, type Sender, type SendRequest, type SendResult } from './send.ts';

const host = 'hook.example';
const trustedBefore = getCACertificates('default');
let authority: Certificate;

beforeAll(async () => {
  authority = await createAuthority('Trusted');
  setDefaultCACertificates([...trustedBefore, authority.cert]);
});

afterAll(() => setDefaultCACertificates(trustedBefore));

/** Sends to hook.example, which resolves to this machine. */
function sendTo(sender: Sender, port: number, rules: Partial<SendRequest> = {}): Promise<SendResult> {
  const url = `https://${host}:${port}/`;
  return sender.send({
    url,
    headers: HeaderLines.of({}),
    signature: {},
    body: Buffer.from('{}'),
    timeoutMs: 5000,
    verifySsl: true,
    environment: 'sandbox',
    ...rules,
  });
}

function createLocalSender(): Sender {
  const sender = createSender({
    allowLoopback: () => true,
    resolve: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
  });
  onTestFinished(() => sender.close());
  return sender;
}

describe('the certificate of an https endpoint', () => {
  test('may be trusted, in date and made out to the host', async () => {
    const certificate = await createCertificate(host, { authority });
    const { port } = await httpsServer(certificate, (_, response) => response.end('ok'));

    expect(await sendTo(createLocalSender(), port)).toMatchObject({ status: 200, body: Buffer.from('ok') });
  });

  test.each([
    ['tls_untrusted', 'self-signed', () => createCertificate(host)],
    [
      'tls_untrusted',
      'of an unknown authority',
      async () => createCertificate(host, { authority: await createAuthority('Unknown') }),
    ],
    [
      'tls_untrusted',
      'of an authority that borrows a name',
      async () => createCertificate(host, { authority: await createAuthority('Trusted') }),
    ],
    ['tls_certificate_expired', 'expired', () => createCertificate(host, { authority, expired: true })],
    ['tls_hostname_mismatch', 'of another host', () => createCertificate('other.example', { authority })],
  ])('%s: %s', async (errorClass, _, create) => {
    const { port, requests } = await httpsServer(await create(), (__, response) => response.end());
    const sender = createLocalSender();

    expect(await sendTo(sender, port)).toMatchObject({ kind: 'failure', errorClass });
    expect(requests).toHaveLength(0);
  });

  test('is not looked at with verify_ssl: false, on that endpoint alone', async () => {
    const { port, requests } = await httpsServer(await createCertificate(host), (_, response) => response.end());
    const sender = createLocalSender();

    expect(await sendTo(sender, port, { verifySsl: false })).toMatchObject({ status: 200 });
    expect(await sendTo(sender, port)).toMatchObject({ kind: 'failure', errorClass: 'tls_untrusted' });
    expect(requests).toHaveLength(1);
  });

  test('tls_other: the server does not speak TLS', async () => {
    const { port } = await httpServer((_, response) => response.end());

    expect(await sendTo(createLocalSender(), port)).toMatchObject({ kind: 'failure', errorClass: 'tls_other' });
  });
});

describe('a receiver that asks for a client certificate', () => {
  async function start(): Promise<{ port: number; asked: unknown[] }> {
    const asked: unknown[] = [];
    const certificate = await createCertificate(host, { authority });
    const options = { ...certificate, requestCert: true, ca: authority.cert };
    const { port } = await httpsServer(options, ({ socket }, response) => {
      if (socket instanceof TLSSocket) asked.push(socket.getPeerCertificate().subject.CN);
      response.end();
    });
    return { port, asked };
  }

  const certificateOf = async (name: string, issuer?: Certificate): Promise<ClientCertificate> => ({
    id: name,
    ...(await createCertificate(name, issuer && { authority: issuer })),
  });

  test('gets the one of the endpoint, each over connections of its own', async () => {
    const { port, asked } = await start();
    const sender = createLocalSender();
    const [one, two] = await Promise.all([certificateOf('one', authority), certificateOf('two', authority)]);

    for (const clientCertificate of [one, two, one]) {
      expect(await sendTo(sender, port, { clientCertificate })).toMatchObject({ status: 200 });
    }
    expect(asked).toEqual(['one', 'two', 'one']);
  });

  test('refuses a request without one, with one of another authority, and one that has expired', async () => {
    const { port, asked } = await start();
    const sender = createLocalSender();
    // A server of Node may close the connection before it has said why; how others say so: see errorClass.test.ts.
    const refused = {
      kind: 'failure',
      errorClass: expect.stringMatching(/^(connection_reset|tls_client_certificate)$/),
    };

    expect(await sendTo(sender, port)).toMatchObject(refused);
    expect(await sendTo(sender, port, { clientCertificate: await certificateOf('own') })).toMatchObject(refused);
    const expired = { id: 'old', ...(await createCertificate('old', { authority, expired: true })) };
    expect(await sendTo(sender, port, { clientCertificate: expired })).toMatchObject(refused);
    expect(asked).toEqual([]);
  });
});
