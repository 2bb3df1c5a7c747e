import { createHmac, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { meanwhile } from '../../test/support/meanwhile.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import { signDelivery } from '../deliver/sign.ts';
import { systemRuntime } from '../runtime.ts';
import { createSecretBox } from '../secrets/secretBox.ts';
import { createEndpointSecrets, type EndpointSecrets, type RotatedSecret, type ValidKey } from './endpointSecrets.ts';
import { listEndpointSecrets } from './store/listEndpointSecrets.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let made = 0;

forEachDatabase('endpoint secrets', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let endpointSecrets: EndpointSecrets;
  let endpoint: { id: string; secret: string };
  beforeAll(async () => {
    database = await open();
    ({ webhooks, endpointSecrets } = openWebhooks(database));
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    made += 1;
    const url = `https://example.com/secrets/${made}`;
    endpoint = await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
  });

  const keysOf = async (secrets: EndpointSecrets, id: string): Promise<readonly ValidKey[]> =>
    secrets.keysOf(database.db, id, await listEndpointSecrets(database.db, id));

  /** Which of the secrets a delivery would be signed with now, in order. */
  async function signers(secrets: EndpointSecrets, id: string, candidates: readonly string[]): Promise<string[]> {
    const keys = await keysOf(secrets, id);
    const body = Buffer.from('{}');
    const headers = signDelivery({ keys, eventId: '1', timestampSeconds: 7, body });
    return (headers['Moonpay-Signature-V2'] ?? '')
      .split(',s=')
      .slice(1)
      .map(
        (digest) =>
          candidates.find((text) => createHmac('sha256', text).update('7.{}').digest('hex') === digest) ?? '?',
      );
  }

  async function storedSecrets(id: string): Promise<{ unsealed: string | null; sealed: Buffer | null }[]> {
    const { rows } = await sql<{ unsealed: string | null; sealed: Buffer | null }>`
      select * from moonguard.endpoint_secrets where endpoint_id = ${id}
    `.execute(database.db);
    return rows;
  }

  test('the secret that is shown once is the one that signs', async () => {
    expect(await signers(endpointSecrets, endpoint.id, [endpoint.secret])).toEqual([endpoint.secret]);
  });

  test('a secret of the caller’s own signs', async () => {
    const secret = 'shared-with-the-receiver-before';
    const { id } = await webhooks.createWebhook({
      url: 'https://example.com/own',
      events: ['*'],
      environment: 'sandbox',
      secret,
    });

    expect(await signers(endpointSecrets, id, [secret])).toEqual([secret]);
  });

  test('no method shows it again, and no column holds it', async () => {
    const { id, secret } = endpoint;
    await keysOf(endpointSecrets, id);
    const { rows } = await sql`select * from public.moonpay_webhook_config where id = ${id}`.execute(database.db);
    const shown = [
      rows,
      await storedSecrets(id),
      await webhooks.getWebhook(id),
      await webhooks.listWebhooks(),
      await webhooks.updateWebhook(id, { description: 'x' }),
      await webhooks.suspendWebhook(id),
    ];

    expect(JSON.stringify(shown)).not.toContain(secret);
    const [stored] = await storedSecrets(id);
    expect(stored?.sealed?.includes(secret)).toBe(false);
    expect(stored?.sealed?.includes(Buffer.from(secret.slice('whsec_'.length), 'base64'))).toBe(false);
  });

  test.each(['anon', 'authenticated', 'service_role'])('%s reads no secret', async (role) => {
    for (const table of ['endpoint_secrets', 'provider_keys']) {
      const read = database.transaction(async (transaction) => {
        await sql`set local role ${sql.ref(role)}`.execute(transaction);
        await sql`select * from moonguard.${sql.ref(table)}`.execute(transaction);
      });
      await expect(read).rejects.toThrow('permission denied');
    }
  });

  describe('written into secret_key by SQL', () => {
    const written = 'whsec_' + Buffer.alloc(24, 7).toString('base64');

    beforeEach(async () => {
      await sql`update public.moonpay_webhook_config set secret_key = ${written} where id = ${endpoint.id}`.execute(
        database.db,
      );
    });

    test('disappears from the table, signs in the place of the one before, and is sealed when first used', async () => {
      const { rows } = await sql`
        select from public.moonpay_webhook_config where id = ${endpoint.id} and secret_key is null
      `.execute(database.db);
      expect(rows).toHaveLength(1);
      expect((await storedSecrets(endpoint.id)).map(({ unsealed }) => unsealed)).toContain(written);

      expect(await signers(endpointSecrets, endpoint.id, [written, endpoint.secret])).toEqual([written]);

      expect((await storedSecrets(endpoint.id)).map(({ unsealed }) => unsealed)).toEqual([null, null]);
      expect(await signers(endpointSecrets, endpoint.id, [written])).toEqual([written]);
    });

    test('is sealed when the program starts', async () => {
      expect(await endpointSecrets.sealAll(database.db)).toBe(1);
      expect(await endpointSecrets.sealAll(database.db)).toBe(0);

      expect((await storedSecrets(endpoint.id)).map(({ unsealed }) => unsealed)).toEqual([null, null]);
      expect(await signers(endpointSecrets, endpoint.id, [written])).toEqual([written]);
    });
  });

  describe('rotation', () => {
    test('signs with both during the overlap, the new one first, for a day unless told otherwise', async () => {
      const { secret, previousExpiresAt } = await webhooks.rotateSecret(endpoint.id);

      expect(await signers(endpointSecrets, endpoint.id, [endpoint.secret, secret])).toEqual([secret, endpoint.secret]);
      const { rows } = await sql<{ seconds: number }>`
        select extract(epoch from ${previousExpiresAt}::timestamptz - now())::double precision as seconds
      `.execute(database.db);
      expect(rows[0]?.seconds).toBeGreaterThan(86_400 - 60);
      expect(rows[0]?.seconds).toBeLessThanOrEqual(86_400);
    });

    test('signs with the new one alone after the overlap', async () => {
      const { secret } = await webhooks.rotateSecret(endpoint.id, { overlapSeconds: 3600 });
      await sql`
        update moonguard.endpoint_secrets set expires_at = expires_at - interval '1 hour'
        where endpoint_id = ${endpoint.id} and expires_at is not null
      `.execute(database.db);

      expect(await signers(endpointSecrets, endpoint.id, [endpoint.secret, secret])).toEqual([secret]);
    });

    test('without overlap drops every earlier one, also those of a rotation before', async () => {
      const second = await webhooks.rotateSecret(endpoint.id);
      const third = await webhooks.rotateSecret(endpoint.id);
      const all = [endpoint.secret, second.secret, third.secret];
      expect(await signers(endpointSecrets, endpoint.id, all)).toEqual(all.toReversed());

      const { secret } = await webhooks.rotateSecret(endpoint.id, { overlapSeconds: 0 });

      expect(await signers(endpointSecrets, endpoint.id, [...all, secret])).toEqual([secret]);
    });

    test('a longer overlap does not lengthen the one of a rotation before', async () => {
      const { previousExpiresAt } = await webhooks.rotateSecret(endpoint.id, { overlapSeconds: 60 });
      const second = await webhooks.rotateSecret(endpoint.id);
      expect(Number(second.previousExpiresAt)).toBeGreaterThan(Number(previousExpiresAt) + 3_600_000);

      const { rows } = await sql<{ expires_at: Date }>`
        select min(expires_at) as expires_at from moonguard.endpoint_secrets where endpoint_id = ${endpoint.id}
      `.execute(database.db);
      expect(rows[0]?.expires_at).toEqual(previousExpiresAt);
    });

    test('two at once follow one another', async () => {
      let first: RotatedSecret | undefined;
      const second = await meanwhile(
        database,
        async (transaction) => {
          first = await webhooks.rotateSecret(endpoint.id, {}, { transaction });
        },
        () => webhooks.rotateSecret(endpoint.id),
      );

      const all = [second.secret, first?.secret ?? '', endpoint.secret];
      expect(await signers(endpointSecrets, endpoint.id, all)).toEqual(all);
    });

    test('goes with the caller’s rollback', async () => {
      const undone = database.transaction(async (transaction) => {
        await webhooks.rotateSecret(endpoint.id, { overlapSeconds: 0 }, { transaction });
        throw new Error('changed my mind');
      });
      await expect(undone).rejects.toThrow('changed my mind');

      expect(await signers(endpointSecrets, endpoint.id, [endpoint.secret])).toEqual([endpoint.secret]);
    });

    test.each([-1, 0.5, 30 * 86_400 + 1])('refuses an overlap of %d s', async (overlapSeconds) => {
      await expect(webhooks.rotateSecret(endpoint.id, { overlapSeconds })).rejects.toMatchObject({
        code: 'request_invalid',
        field: 'overlapSeconds',
      });
    });
  });

  test('an endpoint that SQL made without a secret gets one, the same for every worker', async () => {
    const { rows } = await sql<{ id: string }>`
      insert into public.moonpay_webhook_config (url, environment, events)
      values (${`https://example.com/bare/${made}`}, 'sandbox', '{*}') returning id
    `.execute(database.db);
    const id = rows[0]?.id ?? '';

    const keys = await Promise.all([1, 2, 3].map(() => endpointSecrets.keysOf(database.db, id, [])));

    const ids = keys.map((found) => found.map(({ key }) => key.id));
    expect(ids[0]).toHaveLength(1);
    expect(ids).toEqual([ids[0], ids[0], ids[0]]);
    expect(await storedSecrets(id)).toHaveLength(1);
  });

  test('keys are made once', async () => {
    const [first, second] = [await keysOf(endpointSecrets, endpoint.id), await keysOf(endpointSecrets, endpoint.id)];

    expect(first[0]?.key).toBe(second[0]?.key);
  });

  test('another master key is an error, never a delivery signed with something else', async () => {
    const other = createEndpointSecrets({ secretBox: createSecretBox(randomBytes(32)), runtime: systemRuntime });

    await expect(keysOf(other, endpoint.id)).rejects.toMatchObject({ code: 'master_key_mismatch' });
  });
});
