import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Certificate, createAuthority, createCertificate } from '../../test/support/certificates.ts';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { ClientCertificates } from './clientCertificates.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let authority: Certificate;
let good: Certificate;
let other: Certificate;
let expired: Certificate;

beforeAll(async () => {
  authority = await createAuthority('Authority');
  good = await createCertificate('moonguard.example', { authority });
  other = await createCertificate('other.example');
  expired = await createCertificate('old.example', { expired: true });
});

let made = 0;

forEachDatabase('the client certificate of an endpoint', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let clientCertificates: ClientCertificates;
  let webhookId: string;

  beforeAll(async () => {
    database = await open();
    ({ webhooks, clientCertificates } = openWebhooks(database));
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    made += 1;
    const url = `https://example.com/certificates/${made}`;
    ({ webhookId } = await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' }));
  });

  const set = ({ cert, key }: Certificate) =>
    webhooks.setClientCertificate(webhookId, { certificate: cert, privateKey: key });
  const storedKeys = async () => {
    const { rows } = await sql<{ sealed: Buffer }>`select sealed from moonguard.endpoint_certificates
      where endpoint_id = (select id from moonpay_webhook_config where webhook_id = ${webhookId})`.execute(database.db);
    return rows;
  };

  test('is the one that was set, and shows to whom it belongs', async () => {
    const summary = await set(good);

    expect(summary).toEqual({
      id: (await webhooks.getWebhook(webhookId)).clientCertificateId,
      subject: 'CN=moonguard.example',
      expiresAt: new X509Certificate(good.cert).validToDate,
      createdAt: expect.any(Date),
    });
    expect(await webhooks.getClientCertificate(webhookId)).toEqual(summary);
    const found = await clientCertificates.find(database.db, summary?.id ?? '');
    expect(new X509Certificate(found?.cert ?? '').subject).toBe('CN=moonguard.example');
    expect(found?.key.replaceAll(/\s/g, '')).toBe(good.key.replaceAll(/\s/g, ''));
  });

  test('may bring those that signed it, in whatever text stands around them', async () => {
    const certificate = `moonguard\n${good.cert}\nissuer\n${authority.cert}`;
    const { id = '' } = (await webhooks.setClientCertificate(webhookId, { certificate, privateKey: good.key })) ?? {};

    const { cert = '' } = (await clientCertificates.find(database.db, id)) ?? {};
    expect(cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(cert).not.toContain('issuer');
  });

  test('keeps its key sealed', async () => {
    await set(good);
    const [stored] = await storedKeys();

    expect(stored?.sealed.toString('latin1')).not.toContain('PRIVATE KEY');
  });

  test('gives way to another one, and leaves nothing behind', async () => {
    const first = await set(good);
    const second = await set(other);

    expect((await webhooks.getWebhook(webhookId)).clientCertificateId).toBe(second?.id);
    expect(await storedKeys()).toHaveLength(1);
    const { clientCertificates: elsewhere } = openWebhooks(database);
    expect(await elsewhere.find(database.db, first?.id ?? '')).toBeUndefined();
  });

  test('can be removed', async () => {
    await set(good);

    expect(await webhooks.setClientCertificate(webhookId, null)).toBeNull();
    expect((await webhooks.getWebhook(webhookId)).clientCertificateId).toBeNull();
    expect(await webhooks.getClientCertificate(webhookId)).toBeNull();
    expect(await storedKeys()).toEqual([]);
  });

  test('is not that of another endpoint', async () => {
    const { id = '' } = (await set(good)) ?? {};
    const url = `https://example.com/certificates/${made}/other`;
    const { id: second } = await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });

    await expect(
      sql`update moonpay_webhook_config set client_certificate_id = ${id} where id = ${second}`.execute(database.db),
    ).rejects.toThrow('moonpay_webhook_config_client_certificate_fkey');
  });

  test('of nobody is refused', async () => {
    expect(await refusal(webhooks.setClientCertificate('nobody', null))).toMatchObject({ code: 'webhook_not_found' });
  });

  describe('is refused when', () => {
    const { privateKey } = generateKeyPairSync('ed25519', {
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });

    test.each<[string, string, string, () => unknown]>([
      [
        'the two do not belong together',
        'private_key_mismatch',
        'privateKey',
        () => ({ cert: good.cert, key: other.key }),
      ],
      [
        'the first one is not that of the key',
        'private_key_mismatch',
        'privateKey',
        () => ({ cert: authority.cert + good.cert, key: good.key }),
      ],
      ['it has expired', 'certificate_expired', 'certificate', () => expired],
      ['it is no certificate', 'certificate_malformed', 'certificate', () => ({ cert: 'CN=me', key: good.key })],
      [
        'its content is none',
        'certificate_malformed',
        'certificate',
        () => ({ cert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', key: good.key }),
      ],
      ['the key is none', 'private_key_malformed', 'privateKey', () => ({ cert: good.cert, key: good.cert })],
      ['the key is encrypted', 'private_key_malformed', 'privateKey', () => ({ cert: good.cert, key: privateKey })],
    ])('%s', async (_, code, field, given) => {
      const { cert, key } = given() as Certificate;
      const error = await refusal(webhooks.setClientCertificate(webhookId, { certificate: cert, privateKey: key }));

      expect(error).toMatchObject({ code: 'webhook_invalid', problems: [{ code, field }] });
      expect(error.message).not.toContain('PRIVATE KEY');
      expect(await webhooks.getClientCertificate(webhookId)).toBeNull();
    });
  });
});
