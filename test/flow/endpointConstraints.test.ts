import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** Hosts of a production URL, and whether SQL can see that they are private. Names are the business of whoever connects. */
const privateHosts = [
  ['localhost', 'LOCALHOST.', 'api.localhost', 'printer.local', 'local', 'metadata.google.internal'],
  [
    '127.0.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '168.63.129.16',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
  ],
  // What a URL parser reads as an IPv4 address, PostgreSQL does not.
  ['127.1', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.0.0.1.', '127.0.0.0x1'],
  [
    '[::1]',
    '[::]',
    '[fd00::1]',
    '[fe80::1]',
    '[::ffff:10.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[2001:db8::1]',
    '[ff02::1]',
  ],
].flat();
const publicHosts = [
  'shop.example.com',
  'localhost.example.com',
  '8.8.8.8',
  '1.1.1.1',
  '[2606:4700::1111]',
  'xn--bcher-kva.example',
  '0x.example',
];

forEachDatabase('what SQL refuses of an endpoint', (open) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  let made = 0;
  /** The constraint that refuses the row, or the row. */
  const insert = async (row: Record<string, unknown>): Promise<unknown> => {
    made += 1;
    const whole = { url: `https://example.com/${made}`, environment: 'production', events: ['*'], ...row };
    const columns = sql.join(Object.keys(whole).map((column) => sql.ref(column)));
    try {
      const { rows } = await sql`
        insert into public.moonpay_webhook_config (${columns})
        select ${columns} from jsonb_populate_record(null::public.moonpay_webhook_config, ${JSON.stringify(whole)}::jsonb)
        returning *`.execute(database.db);
      return rows[0];
    } catch (error) {
      return databaseErrorReport(error).constraint;
    }
  };

  test.each(privateHosts)('https://%s in production is private', async (host) => {
    expect(await insert({ url: `https://${host}:8443/hook` })).toBe('moonpay_webhook_config_url_private_check');
  });

  test.each(publicHosts)('https://%s is not', async (host) => {
    expect(await insert({ url: `https://${host}/hook` })).toMatchObject({ status: 'active' });
  });

  test('in the sandbox a private address may stand: the sender decides', async () => {
    expect(await insert({ environment: 'sandbox', url: 'http://127.0.0.1:9999/hook' })).toMatchObject({
      status: 'active',
    });
  });

  test.each([
    ['https://good.example.com\\@10.0.0.1/', 'moonpay_webhook_config_url_credentials_check'],
    ['https://10.0.0.1\\.example.com/', 'moonpay_webhook_config_url_check'],
    ['https://exa mple.com/', 'moonpay_webhook_config_url_check'],
    ['https://example.com/\n', 'moonpay_webhook_config_url_check'],
    ['https:///hook', 'moonpay_webhook_config_url_check'],
    ['HTTPS://example.com/', 'moonpay_webhook_config_url_check'],
    ['https://user@example.com/', 'moonpay_webhook_config_url_credentials_check'],
    ['https://example.com/?mail=a@b.example', undefined],
  ])('%j: %s', async (url, constraint) => {
    const outcome = await insert({ url, environment: 'sandbox' });
    if (constraint === undefined) expect(outcome).toMatchObject({ url });
    else expect([constraint, 'moonpay_webhook_config_url_check']).toContain(outcome);
  });

  describe('the same address twice', () => {
    const url = 'https://twice.example.com/';

    test('is refused in one environment, not in the other', async () => {
      expect(await insert({ url })).toMatchObject({ url });
      expect(await insert({ url })).toBe('moonpay_webhook_config_live_url_key');
      expect(await insert({ url, environment: 'sandbox' })).toMatchObject({ url });
    });

    test('may be when the first is deleted', async () => {
      await sql`update moonpay_webhook_config set deleted_at = now() where url = ${url}`.execute(database.db);
      expect(await insert({ url })).toMatchObject({ url });
    });
  });

  test.each([
    [{ environment: null }, 'environment_check'],
    [{ environment: 'Production' }, 'environment_check'],
    [{ events: null }, 'events_check'],
    [{ events: [null] }, 'events_check'],
    [{ status: 'paused' }, 'status_check'],
    [{ headers: { 'X-A': 'a\rb' } }, 'headers_check'],
    [{ headers: { 'X-A': 'a\u0000b'.replace('\0', '\u0001') } }, 'headers_check'],
    [{ headers: { 'X-A': 'a', 'x-a': 'b' } }, 'headers_check'],
    [{ headers: { 'X-A': 1 } }, 'headers_check'],
    [{ headers: { 'X-A': '漢' } }, 'headers_check'],
    [{ headers: null }, undefined],
    [{ retry_policy: { initial_delay: -5 } }, 'retry_policy_check'],
    [{ retry_policy: { initial_delay_ms: 0.5 } }, 'retry_policy_check'],
    [{ retry_policy: { initial_delay_ms: 9, max_delay_ms: 8 } }, 'retry_policy_check'],
    [{ retry_policy: { attempts: 3 } }, 'retry_policy_check'],
    [{ retry_policy: 'often' }, 'retry_policy_check'],
    [{ retry_policy: { timeout: -1 } }, 'delivery_settings_check'],
    [{ delivery_settings: { timeout: 1e30 } }, 'delivery_settings_check'],
    [{ delivery_settings: { rate_limit_per_second: 0 } }, 'delivery_settings_check'],
    [{ delivery_settings: [] }, 'delivery_settings_check'],
  ])('%j: %s', async (row, check) => {
    // A column that may not be null and is given as null has no named check.
    expect(await insert(row)).toBe(check === undefined ? undefined : `moonpay_webhook_config_${check}`);
  });

  test('older settings are understood, the timeout of a retry policy too', async () => {
    const retryPolicy = { maxRetries: 4, backoff: 'linear', initialDelay: 1000, max_delay: 60_000, timeout: 9000 };

    expect(await insert({ retry_policy: retryPolicy, delivery_settings: { verifySSL: false } })).toMatchObject({
      retry_policy: {
        max_attempts: 5,
        backoff_strategy: 'linear',
        initial_delay_ms: 1000,
        max_delay_ms: 60_000,
        jitter: 0.2,
      },
      delivery_settings: {
        timeout_ms: 9000,
        verify_ssl: false,
        ordering: 'none',
        payload: 'provider',
        rate_limit_per_second: null,
      },
    });
    expect(await insert({ retry_policy: { timeout: 9000 }, delivery_settings: { timeout: 5 } })).toMatchObject({
      delivery_settings: { timeout_ms: 5000 },
    });
    expect(await insert({ retry_policy: { timeout: 9000 } })).toMatchObject({
      delivery_settings: { timeout_ms: 9000 },
    });
    const { rows } = await sql<{ timeout: number }>`
      update moonpay_webhook_config set retry_policy = '{"timeout": 7000}' where url = 'https://twice.example.com/' and deleted_at is null
      returning delivery_settings -> 'timeout_ms' as timeout`.execute(database.db);
    expect(rows).toEqual([{ timeout: 7000 }]);
  });

  test('whichever of status and is_active is written, the other follows', async () => {
    expect(await insert({ is_active: false })).toMatchObject({ status: 'inactive', is_active: false });
    expect(await insert({ status: 'suspended' })).toMatchObject({ status: 'suspended', is_active: false });
    expect(await insert({ status: 'failed', is_active: true })).toMatchObject({ status: 'failed', is_active: false });
    const set = async (assignment: string) => {
      const { rows } =
        await sql`update moonpay_webhook_config set ${sql.raw(assignment)} where url = 'https://8.8.8.8/hook'
        returning status, is_active`.execute(database.db);
      return rows[0];
    };
    expect(await set('is_active = false')).toEqual({ status: 'inactive', is_active: false });
    expect(await set('is_active = true')).toEqual({ status: 'active', is_active: true });
    expect(await set("status = 'failed'")).toEqual({ status: 'failed', is_active: false });
    expect(await set("status = 'active', is_active = false")).toEqual({ status: 'active', is_active: true });
  });
});
