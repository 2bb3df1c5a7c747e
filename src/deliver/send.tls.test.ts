import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Certificate, createAuthority, createCertificate } from '../../test/support/certificates.ts';
import { httpServer, httpsServer } from '../../test/support/localServers.ts';
import { createSender, type Sender, type SendResult } from './send.ts';

const host = 'hook.example';
const trustedBefore = getCACertificates('default');
let authority: Certificate;

beforeAll(async () => {
  authority = await createAuthority('Trusted');
  setDefaultCACertificates([...trustedBefore, authority.cert]);
});

afterAll(() => setDefaultCACertificates(trustedBefore));

/** Sends to hook.example, which resolves to this machine. */
function sendTo(sender: Sender, port: number, { verifySsl = true } = {}): Promise<SendResult> {
  const url = `https://${host}:${port}/`;
  return sender.send({ url, headers: {}, body: Buffer.from('{}'), timeoutMs: 5000, verifySsl, environment: 'sandbox' });
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
