import { createHash, createSecretKey, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CuttableProxy, startProxy } from '../../test/support/cuttableProxy.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { connectDatabase } from '../database/connect.ts';
import type { Database } from '../database/database.ts';
import type { Environment } from '../observe/observation.ts';
import { systemRuntime } from '../runtime.ts';
import { createSecretBox } from '../secrets/secretBox.ts';
import { createProviderKeys, type ProviderKeys } from './providerKeys.ts';
import { signProviderBody, verifySignature } from './verifySignature.ts';

const secretBox = createSecretBox(randomBytes(32));
const key = { old: 'wk_test_0123456789abcdef', new: 'wk_test_fedcba9876543210', live: 'wk_live_0123456789abcdef' };
const fingerprint = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

let nowMs: number;
const runtime = { ...systemRuntime, now: () => nowMs };
const noKeys = { sandbox: [], production: [] };

function keysOf(database: Database, configuredKeys: Record<Environment, readonly string[]> = noKeys): ProviderKeys {
  return createProviderKeys({ database, secretBox, runtime, configuredKeys });
}

async function idsOf(keys: ProviderKeys, environment: Environment = 'sandbox'): Promise<string[]> {
  return (await keys.current(environment)).map(({ keyId }) => keyId);
}

beforeEach(() => {
  nowMs = 1_760_000_000_000;
});

forEachDatabase('provider keys', (open) => {
  let database: TestDatabase;
  let keys: ProviderKeys;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    await sql`delete from moonguard.provider_keys`.execute(database.db);
    keys = keysOf(database);
  });

  test('a key in the settings that can verify nothing is refused at once, by setting', () => {
    const mistaken = { sandbox: [key.old, key.live], production: ['sk_live_0123456789abcdef'] };
    expect(() => keysOf(database, mistaken)).toThrow(
      expect.objectContaining({
        code: 'configuration_invalid',
        problems: [
          expect.objectContaining({ code: 'other_environment', field: 'webhookKeys.sandbox' }),
          expect.objectContaining({ code: 'secret_key', field: 'webhookKeys.production' }),
        ],
      }),
    );
  });

  test('without any key there is none', async () => {
    expect(await keys.current('sandbox')).toEqual([]);
    expect(await keys.list()).toEqual([]);
  });

  test('a key verifies webhooks of its environment from the moment it is added', async () => {
    expect(await idsOf(keys)).toEqual([]);

    const added = await keys.add('sandbox', key.old);

    expect(added).toEqual({
      environment: 'sandbox',
      fingerprint: fingerprint(key.old),
      source: 'table',
      createdAt: expect.any(Date),
    });
    expect(await keys.current('production')).toEqual([]);
    const rawBody = Buffer.from('{}');
    const header = signProviderBody(rawBody, createSecretKey(key.old, 'utf8'), nowMs / 1000);
    const current = await keys.current('sandbox');
    expect(verifySignature({ header, rawBody, keys: current, nowMs, toleranceSeconds: 300 })).toMatchObject({
      ok: true,
      keyId: fingerprint(key.old),
    });
  });

  test('two keys are valid while one replaces the other, until it is removed', async () => {
    await keys.add('sandbox', key.old);
    await keys.add('sandbox', key.new);
    expect(await idsOf(keys)).toEqual([fingerprint(key.new), fingerprint(key.old)]);

    await keys.remove('sandbox', fingerprint(key.old));

    expect(await idsOf(keys)).toEqual([fingerprint(key.new)]);
  });

  test('another process hears of a change at once', async () => {
    const other = keysOf(database);
    expect(await idsOf(other)).toEqual([]);
    const heard = Promise.withResolvers<void>();
    await database.listen('moonguard_provider_keys', () => heard.resolve());

    await keys.add('sandbox', key.old);
    await heard.promise;

    expect(await idsOf(other)).toEqual([fingerprint(key.old)]);
  });

  test('without the notification it hears of it after five seconds', async () => {
    const other = keysOf(database);
    await other.current('sandbox');
    await other.close();

    await keys.add('sandbox', key.old);

    nowMs += 4_999;
    expect(await idsOf(other)).toEqual([]);
    nowMs += 1;
    expect(await idsOf(other)).toEqual([fingerprint(key.old)]);
  });

  test('keys of the settings count, are listed as such, and are not removed here', async () => {
    keys = keysOf(database, { sandbox: [key.old], production: [key.live] });
    await keys.add('sandbox', key.new);

    expect(await idsOf(keys)).toEqual([fingerprint(key.new), fingerprint(key.old)]);
    expect(await idsOf(keys, 'production')).toEqual([fingerprint(key.live)]);
    expect((await keys.list('sandbox')).map(({ source }) => source)).toEqual(['table', 'configuration']);
    await expect(keys.remove('sandbox', fingerprint(key.old))).rejects.toMatchObject({
      code: 'provider_key_invalid',
      problems: [{ code: 'configured' }],
    });
  });

  test.each<[Environment, string, string]>([
    ['sandbox', 'sk_test_0123456789abcdef', 'secret_key'],
    ['production', key.old, 'other_environment'],
    ['sandbox', '', 'empty'],
  ])('refuses the %s key %j', async (environment, text, code) => {
    await expect(keys.add(environment, text)).rejects.toMatchObject({
      code: 'provider_key_invalid',
      problems: [{ code, field: 'key' }],
    });
    expect(await keys.list()).toEqual([]);
  });

  test('refuses a key that is there already, and the removal of one that is not', async () => {
    await keys.add('sandbox', key.old);

    await expect(keys.add('sandbox', key.old)).rejects.toMatchObject({ problems: [{ code: 'already_there' }] });
    await expect(keys.remove('production', fingerprint(key.old))).rejects.toMatchObject({
      problems: [{ code: 'unknown' }],
    });
  });

  test('never shows a key: not in lists, not in the table', async () => {
    await keys.add('sandbox', key.old, { actor: 'maria' });

    const { rows } = await sql<{ sealed: Buffer; created_by: string }>`select * from moonguard.provider_keys`.execute(
      database.db,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.created_by).toBe('maria');
    expect(rows[0]?.sealed.includes(key.old)).toBe(false);
    expect(JSON.stringify([rows, await keys.list()])).not.toContain(key.old);
  });

  test('what a transaction of the caller did goes with its rollback', async () => {
    const undone = database.transaction(async (transaction) => {
      await keys.add('sandbox', key.old, { transaction });
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');

    expect(await idsOf(keys)).toEqual([]);
  });

  test('keys sealed under another master key are an error, not a missing key', async () => {
    await keys.add('sandbox', key.old);
    const other = createProviderKeys({
      database,
      secretBox: createSecretBox(randomBytes(32)),
      runtime,
      configuredKeys: noKeys,
    });

    await expect(other.current('sandbox')).rejects.toMatchObject({ code: 'master_key_mismatch' });
  });
});

describe('provider keys when the database is away', () => {
  let database: TestDatabase;
  let proxy: CuttableProxy;
  let cuttable: Database;
  beforeEach(async () => {
    const postgres = await openTestDatabase('postgres');
    database = postgres;
    proxy = await startProxy(postgres.url);
    cuttable = await connectDatabase({ databaseUrl: proxy.url });
  });
  afterEach(async () => {
    // What still waits for an answer gets none any more.
    await proxy.stop();
    await cuttable.close();
    await database.close();
  });

  test('the known keys go on, and the new ones come in when it is back', async () => {
    await keysOf(database).add('sandbox', key.old);
    const keys = keysOf(cuttable);
    expect(await idsOf(keys)).toEqual([fingerprint(key.old)]);

    proxy.cut();
    nowMs += 5_000;
    expect(await idsOf(keys)).toEqual([fingerprint(key.old)]);

    await keysOf(database).add('sandbox', key.new);
    proxy.restore();
    nowMs += 5_000;
    expect(await idsOf(keys)).toEqual([fingerprint(key.new), fingerprint(key.old)]);
  });

  test('the known keys go on when nobody answers: reading hangs, webhooks do not', async () => {
    await keysOf(database).add('sandbox', key.old);
    const keys = keysOf(cuttable);
    expect(await idsOf(keys)).toEqual([fingerprint(key.old)]);

    proxy.silence();
    nowMs += 5_000;
    expect(await idsOf(keys)).toEqual([fingerprint(key.old)]);

    await expect(keysOf(cuttable).current('sandbox')).rejects.toMatchObject({ code: 'database_unavailable' });
  });

  test('keys that were never read are our fault, not a wrong signature', async () => {
    const keys = keysOf(cuttable, { sandbox: [key.old], production: [] });
    proxy.cut();
    await expect(keys.current('sandbox')).rejects.toMatchObject({ code: 'database_unavailable' });

    proxy.restore();
    expect(await idsOf(keys)).toEqual([fingerprint(key.old)]);
  });
});
