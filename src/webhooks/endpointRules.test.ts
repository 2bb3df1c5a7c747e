import { inspect } from 'node:util';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkedWords } from '../../test/support/checkedWords.ts';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { environments } from '../observe/observation.ts';
import { asEndpointError, constraintProblems } from './constraintErrors.ts';
import { attemptOutcomes, deliveryStatuses } from './delivery.ts';
import { deliverySettingsSchema } from './deliverySettings.ts';
import { endpointStatuses } from './endpoint.ts';
import { retryPolicySchema } from './retryPolicy.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

/**
 * What is wrong; what the service calls it; the constraint that refuses the same as a row, null where SQL cannot see it.
 */
type Rule = readonly [name: string, code: string, field: string, constraint: string | null, input: object];

const delay = 'retryPolicy.initial_delay_ms';
const attempts = 'retryPolicy.max_attempts';
const timeout = 'deliverySettings.timeout_ms';
const production = { environment: 'production' };

const rules: readonly Rule[] = [
  ['no events', 'events_empty', 'events', 'events_check', { events: [] }],
  ['events missing', 'events_empty', 'events', 'events_check', { events: undefined }],
  ['an empty event', 'event_unknown_form', 'events.1', 'events_check', { events: ['*', ''] }],
  ['an event with capitals', 'event_unknown_form', 'events.0', null, { events: ['Transaction.Completed'] }],
  ['a wildcard for compliance events', 'event_unknown_form', 'events.0', null, { events: ['compliance.*'] }],
  ['an unknown environment', 'environment_unknown', 'environment', 'environment_check', { environment: 'staging' }],
  ['no environment', 'environment_unknown', 'environment', 'environment_check', { environment: undefined }],
  ['no URL', 'required', 'url', 'url_check', { url: undefined }],
  ['no absolute URL', 'url_malformed', 'url', 'url_check', { url: 'example.com/hook' }],
  ['another scheme', 'url_scheme', 'url', 'url_check', { url: 'ftp://example.com/' }],
  ['http in production', 'url_insecure', 'url', 'url_https_check', { ...production, url: 'http://example.com/' }],
  ['credentials', 'url_credentials', 'url', 'url_credentials_check', { url: 'https://user:word@example.com/' }],
  ['a private address', 'url_private', 'url', 'url_private_check', { ...production, url: 'https://10.1.2.3/' }],
  ['a private IPv6 address', 'url_private', 'url', 'url_private_check', { ...production, url: 'https://[fd00::1]/' }],
  ['a local name', 'url_private', 'url', 'url_private_check', { ...production, url: 'https://localhost:8443/' }],
  ['a private address in the sandbox', 'url_private', 'url', null, { url: 'http://192.168.1.1/' }],
  ['CR, LF in a value', 'header_value_invalid', 'headers.A', 'headers_check', { headers: { A: 'a\r\nHost: b' } }],
  ['LF in a name', 'header_name_invalid', 'headers.A\n', 'headers_check', { headers: { 'A\n': 'a' } }],
  ['a header of ours', 'header_reserved', 'headers.Webhook-Id', 'headers_check', { headers: { 'Webhook-Id': 'a' } }],
  ['headers in a list', 'headers_malformed', 'headers', 'headers_check', { headers: ['a'] }],
  ['a delay below 0', 'retry_delay_negative', delay, 'retry_policy_check', { retryPolicy: { initialDelayMs: -1 } }],
  ['the same, older', 'retry_delay_negative', delay, 'retry_policy_check', { retryPolicy: { initial_delay: -1 } }],
  ['no attempt', 'retry_policy_invalid', attempts, 'retry_policy_check', { retryPolicy: { max_attempts: 0 } }],
  [
    'over a minute',
    'delivery_settings_invalid',
    timeout,
    'delivery_settings_check',
    { deliverySettings: { timeout: 61 } },
  ],
  ['a filter that is none', 'filter_invalid', 'filter', null, { filter: 'event.name =' }],
  ['a filter on nothing', 'filter_invalid', 'filter', null, { filter: 'data.amount > 1' }],
  ['an empty filter', 'filter_invalid', 'filter', 'filter_check', { filter: '' }],
  ['a long filter', 'filter_invalid', 'filter', 'filter_check', { filter: `event.name == "${'a'.repeat(4096)}"` }],
  ['metadata in a list', 'wrong_type', 'metadata', 'metadata_check', { metadata: [1] }],
  ['metadata with a NUL', 'not_storable', 'metadata', null, { metadata: { a: '\0' } }],
  ['a short secret', 'secret_malformed', 'secret', null, { secret: 'secret' }],
  ['an unknown field', 'unknown_field', 'isActive', null, { isActive: true }],
];

const rulesOfSql = rules.filter(([, , , constraint]) => constraint !== null);

/** As columns of moonpay_webhook_config. */
function rowOf(input: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(input).map(([field, value]) => [field.replaceAll(/[A-Z]/g, '_$&').toLowerCase(), value ?? null]),
  );
}

const valid = { url: 'https://example.com/rules', events: ['*'], environment: 'sandbox' };

forEachDatabase('the rules of an endpoint', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());

  // The service is for JavaScript too, where anything can come in.
  const create = (changes: object): Promise<unknown> => {
    const input: Parameters<WebhookHandler['createWebhook']>[0] = JSON.parse(JSON.stringify({ ...valid, ...changes }));
    return webhooks.createWebhook(input);
  };

  /** The error, if there is one. */
  const insert = async (changes: object): Promise<unknown> => {
    const row = rowOf({ ...valid, ...changes });
    const columns = sql.join(Object.keys(row).map((column) => sql.ref(column)));
    try {
      return await sql`
        insert into public.moonpay_webhook_config (${columns})
        select ${columns} from jsonb_populate_record(null::public.moonpay_webhook_config, ${JSON.stringify(row)}::jsonb)
      `.execute(database.db);
    } catch (error) {
      return error;
    }
  };

  describe('in the service', () => {
    test.each(rules)('%s: %s', async (_, code, field, _constraint, input) => {
      const error = await refusal(create(input));

      expect(error.code).toBe('webhook_invalid');
      expect(error.problems).toEqual([{ code, field, message: expect.stringMatching(/\w+ \w+/) }]);
      expect(error.action).not.toBe('');
    });

    test('all problems come at once', async () => {
      const { problems } = await refusal(
        create({
          url: 'http://10.0.0.1/',
          ...production,
          events: [],
          headers: { Host: 'a', 'x y': 'b' },
          metadata: [],
        }),
      );

      expect(problems.map(({ code }) => code).toSorted()).toEqual(
        ['events_empty', 'header_name_invalid', 'header_reserved', 'url_insecure', 'wrong_type'].toSorted(),
      );
    });

    test('a well-formed name that nobody knows yet is accepted', async () => {
      await create({ events: ['transaction.abandoned', 'compliance.alert_created'], url: 'https://example.com/new' });
    });

    test('loopback is for the sandbox, and only by the setting', async () => {
      const local = openWebhooks(database, { allowLoopbackDestinations: true }).webhooks;
      const url = 'http://127.0.0.1:9999/';

      expect(await local.createWebhook({ ...valid, url, environment: 'sandbox' })).toMatchObject({ url });
      const error = await refusal(
        local.createWebhook({ ...valid, url: 'https://127.0.0.1/', environment: 'production' }),
      );
      expect(error.problems).toMatchObject([{ code: 'url_private' }]);
    });
  });

  describe('in SQL', () => {
    test('a valid row is taken', async () => {
      expect(await insert({ url: 'https://example.com/taken' })).not.toBeInstanceOf(Error);
    });

    test.each(rulesOfSql)('%s', async (_, _code, field, constraint, input) => {
      const error = await insert(input);

      expect(databaseErrorReport(error).constraint).toBe(`moonpay_webhook_config_${constraint}`);
      // What the service would answer, should its own check ever let it pass.
      expect(asEndpointError(error)).toMatchObject({ code: 'webhook_invalid', field: field.split('.')[0] });
    });

    test('a duplicate', async () => {
      await insert({ url: 'https://example.com/twice' });
      const error = await insert({ url: 'https://example.com/twice' });

      expect(databaseErrorReport(error).constraint).toBe('moonpay_webhook_config_live_url_key');
      expect(await refusal(create({ url: 'https://example.com/twice' }))).toMatchObject({
        code: 'webhook_duplicate',
        problems: [{ code: 'url_duplicate', field: 'url' }],
      });
    });

    test('a webhook_id that is taken', async () => {
      await insert({ url: 'https://example.com/name', webhook_id: 'mine' });
      const error = await insert({ url: 'https://example.com/other', webhook_id: 'mine' });

      expect(asEndpointError(error)).toMatchObject({ code: 'webhook_duplicate', field: 'webhookId' });
    });

    test('what a refused row holds is not in the error', async () => {
      const error = asEndpointError(await insert({ headers: { Authorization: 'Bearer token', host: 'x' } }));

      expect(error).toMatchObject({ code: 'webhook_invalid' });
      expect(inspect(error)).not.toContain('token');
    });
  });

  test.each([
    {},
    { max_attempts: 3, backoff_strategy: 'linear', initial_delay_ms: 0, max_delay_ms: 0, jitter: 1 },
    { maxAttempts: 3, backoffStrategy: 'fixed', initialDelayMs: 1, maxDelayMs: 2 },
    { max_retries: 3, initial_delay: 1, max_delay: 2, jitter: true },
    { maxRetries: 0, initialDelay: 1, maxDelay: 2, jitter: false },
  ])('SQL and the service read the retry policy %j alike', async (given) => {
    const { rows } = await sql<{ policy: unknown }>`
      select moonguard.normalize_retry_policy(${JSON.stringify(given)}::jsonb) as policy
    `.execute(database.db);
    expect(rows[0]?.policy).toEqual(retryPolicySchema.parse(given));
  });

  test.each([
    {},
    { verify_ssl: false, timeout_ms: 100, rate_limit_per_second: 0.5, ordering: 'entity', payload: 'envelope' },
    { verifySsl: false, timeoutMs: 200, rateLimitPerSecond: null },
    { verifySSL: false, timeout: 0.3 },
    { ssl_verification: false, timeout: 30 },
    { sslVerification: false },
  ])('SQL and the service read the delivery settings %j alike', async (given) => {
    const { rows } = await sql<{ settings: unknown }>`
      select moonguard.normalize_delivery_settings(${JSON.stringify(given)}::jsonb) as settings
    `.execute(database.db);
    expect(rows[0]?.settings).toEqual(deliverySettingsSchema.parse(given));
  });

  test('every constraint of the table has its problem', async () => {
    const { rows } = await sql<{ name: string }>`
      select conname as name from pg_constraint
      where conrelid = 'public.moonpay_webhook_config'::regclass and contype in ('c', 't')
      union all
      select relname from pg_index join pg_class on pg_class.oid = indexrelid
      where indrelid = 'public.moonpay_webhook_config'::regclass and indisunique and not indisprimary
    `.execute(database.db);

    expect(Object.keys(constraintProblems).toSorted()).toEqual(rows.map(({ name }) => name).toSorted());
  });

  test.each([
    ['public.moonpay_webhook_config', 'moonpay_webhook_config_status_check', endpointStatuses],
    ['public.moonpay_webhook_config', 'moonpay_webhook_config_environment_check', environments],
    ['moonguard.deliveries', 'deliveries_status_check', deliveryStatuses],
    ['moonguard.delivery_attempts', 'delivery_attempts_outcome_check', attemptOutcomes],
    ['moonguard.provider_keys', 'provider_keys_environment_check', environments],
  ])('the words of %s.%s are ours', async (table, constraint, words) => {
    expect(new Set(await checkedWords(database.db, table, constraint))).toEqual(new Set(words));
  });
});
