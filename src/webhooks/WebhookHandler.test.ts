import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { meanwhile } from '../../test/support/meanwhile.ts';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { CreateWebhookInput } from './endpointInput.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

let made = 0;

/** Input for an endpoint with a URL of its own. */
function input(changes: Partial<CreateWebhookInput> = {}): CreateWebhookInput {
  made += 1;
  return { url: `https://example.com/hooks/${made}`, events: ['*'], environment: 'sandbox', ...changes };
}

forEachDatabase('WebhookHandler', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());

  test('does what the manual shows', async () => {
    const webhookService = webhooks;
    const success = false;
    const errorMessage = 'HTTP 500';

    const { webhookId } = await webhookService.createWebhook({
      url: 'https://your-domain.com/webhooks/moonpay',
      events: ['transaction.completed', 'customer.kyc_completed'],
      environment: 'production',
    });
    await webhookService.trackDeliveryAttempt(webhookId, success, errorMessage);

    expect(await webhookService.getWebhook(webhookId)).toMatchObject({
      url: 'https://your-domain.com/webhooks/moonpay',
      events: ['transaction.completed', 'customer.kyc_completed'],
      environment: 'production',
      status: 'active',
      deliveryAttemptsCount: 1,
      lastFailureReason: 'HTTP 500',
    });
  });

  test('the timeout of an older retry policy moves to the delivery settings, in milliseconds', async () => {
    const created = await webhooks.createWebhook(input({ retryPolicy: { timeout: 30_000 } }));
    expect(created.deliverySettings).toMatchObject({ timeout_ms: 30_000, verify_ssl: true });
    expect(created.retryPolicy).not.toHaveProperty('timeout');

    await webhooks.updateWebhook(created.id, { deliverySettings: { verifySsl: false, timeoutMs: 20_000 } });
    const updated = await webhooks.updateWebhook(created.id, { retryPolicy: { timeout: 40_000, max_attempts: 3 } });
    expect(updated.deliverySettings).toMatchObject({ timeout_ms: 40_000, verify_ssl: false });
    expect(updated.retryPolicy).toMatchObject({ max_attempts: 3 });
  });

  describe('createWebhook', () => {
    test('fills in what is not given', async () => {
      const created = await webhooks.createWebhook({
        url: 'HTTPS://Example.com:443/a b',
        events: ['transaction.*'],
        environment: 'sandbox',
      });

      expect(created).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        webhookId: expect.stringMatching(/^wh_[0-9a-f]{32}$/),
        url: 'https://example.com/a%20b',
        environment: 'sandbox',
        events: ['transaction.*'],
        status: 'active',
        statusReason: null,
        statusChangedAt: expect.any(Date),
        isActive: true,
        version: 'v1',
        description: null,
        retryPolicy: {
          max_attempts: 16,
          backoff_strategy: 'exponential',
          initial_delay_ms: 5000,
          max_delay_ms: 21_600_000,
          jitter: 0.2,
        },
        headers: {},
        deliverySettings: {
          verify_ssl: true,
          timeout_ms: 15_000,
          rate_limit_per_second: null,
          ordering: 'none',
          payload: 'provider',
        },
        filter: null,
        clientCertificateId: null,
        metadata: {},
        lastDeliveryAttempt: null,
        lastSuccessfulDelivery: null,
        lastFailureReason: null,
        deliveryAttemptsCount: 0,
        successfulDeliveriesCount: 0,
        failedDeliveriesCount: 0,
        consecutiveFailuresCount: 0,
        createdBy: 'system',
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        deletedAt: null,
        secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
      });
    });

    test('keeps what is given, settings in today’s spelling', async () => {
      const given = {
        description: 'Ledger',
        version: 'v2',
        headers: { 'X-Tenant': 'a' },
        metadata: { team: ['ops', 1, null] },
      };
      const created = await webhooks.createWebhook(
        input({ ...given, retryPolicy: { maxAttempts: 3, initialDelayMs: 0 }, deliverySettings: { timeout_ms: 500 } }),
        { actor: 'maria' },
      );

      expect(await webhooks.getWebhook(created.id)).toMatchObject({
        ...given,
        retryPolicy: { max_attempts: 3, initial_delay_ms: 0, backoff_strategy: 'exponential' },
        deliverySettings: { timeout_ms: 500, verify_ssl: true },
        createdBy: 'maria',
      });
    });

    test('of two creations of the same endpoint at once, one is refused', async () => {
      const same = input();
      const second = meanwhile(
        database,
        (transaction) => webhooks.createWebhook(same, { transaction }),
        () => webhooks.createWebhook(same),
      );

      expect(await refusal(second)).toMatchObject({ code: 'webhook_duplicate', field: 'url' });
    });

    test('takes the same URL in the other environment, and again after a deletion', async () => {
      const first = input();
      const { id } = await webhooks.createWebhook(first);
      await webhooks.createWebhook({ ...first, environment: 'production' });
      await webhooks.deleteWebhook(id);

      expect((await webhooks.createWebhook(first)).id).not.toBe(id);
    });

    test('leaves nothing when the caller’s transaction is rolled back', async () => {
      const given = input();
      const undone = database.transaction(async (transaction) => {
        const { id } = await webhooks.createWebhook(given, { transaction });
        expect(await webhooks.getWebhook(id, { transaction })).toMatchObject({ url: given.url });
        throw new Error('changed my mind');
      });
      await expect(undone).rejects.toThrow('changed my mind');

      const { rows } = await sql`
        select from public.moonpay_webhook_config where url = ${given.url}
        union all select from moonguard.endpoint_secrets
        where endpoint_id not in (select id from public.moonpay_webhook_config)
      `.execute(database.db);
      expect(rows).toEqual([]);
    });
  });

  test('an id and a webhook_id mean the same endpoint; others are not found', async () => {
    const { id, webhookId, secret: _, ...shown } = await webhooks.createWebhook(input());

    expect(await webhooks.getWebhook(id)).toEqual({ id, webhookId, ...shown });
    expect(await webhooks.getWebhook(webhookId)).toEqual({ id, webhookId, ...shown });
    for (const unknown of ['', 'wh_', '\0', randomUUID(), `${webhookId}'`]) {
      await expect(webhooks.getWebhook(unknown)).rejects.toMatchObject({ code: 'webhook_not_found' });
    }
  });

  describe('listWebhooks', () => {
    test('goes page by page through all, the newest first', async () => {
      // Made in one transaction, hence at the same moment: the order is by id then.
      const ids = await database.transaction(async (transaction) => {
        const created: string[] = [];
        for (let i = 0; i < 5; i++) created.push((await webhooks.createWebhook(input(), { transaction })).id);
        return created;
      });
      const before = await webhooks.listWebhooks();
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await webhooks.listWebhooks({ limit: 2, ...(cursor !== undefined && { cursor }) });
        expect(page.items.length).toBeLessThanOrEqual(2);
        seen.push(...page.items.map(({ id }) => id));
        cursor = page.nextCursor;
        // What is created while somebody pages moves nothing.
        await webhooks.createWebhook(input());
      } while (cursor !== undefined);

      expect(seen).toEqual(before.items.map(({ id }) => id));
      expect(seen.slice(0, 5).toSorted()).toEqual(ids.toSorted());
      expect(before.nextCursor).toBeUndefined();
    });

    test('shows those of an environment and a status, deleted ones only when asked', async () => {
      const stopped = await webhooks.createWebhook(input({ environment: 'production' }));
      await webhooks.suspendWebhook(stopped.id);
      const gone = await webhooks.createWebhook(input({ environment: 'production' }));
      await webhooks.deleteWebhook(gone.id);
      const idsOf = async (filter: Parameters<WebhookHandler['listWebhooks']>[0]): Promise<string[]> =>
        (await webhooks.listWebhooks(filter)).items.map(({ id }) => id);

      const inactive = { environment: 'production', status: 'inactive' } as const;
      expect(await idsOf(inactive)).toEqual([stopped.id]);
      expect(await idsOf({ ...inactive, includeDeleted: true })).toEqual([gone.id, stopped.id]);
      expect(await idsOf({ ...inactive, environment: 'sandbox' })).toEqual([]);
    });

    test.each<[object, string]>([
      [{ limit: 0 }, 'limit'],
      [{ limit: 201 }, 'limit'],
      [{ cursor: 'next' }, 'cursor'],
      [{ state: 'active' }, 'state'],
    ])('refuses %j', async (filter, field) => {
      await expect(webhooks.listWebhooks(filter)).rejects.toMatchObject({ code: 'request_invalid', field });
    });
  });

  describe('updateWebhook', () => {
    test('replaces what is given and keeps the rest', async () => {
      const { id } = await webhooks.createWebhook(
        input({ description: 'old', headers: { 'X-A': '1' }, retryPolicy: { max_attempts: 3, jitter: 0 } }),
      );
      const before = await webhooks.getWebhook(id);

      const after = await webhooks.updateWebhook(id, {
        events: ['swap.*'],
        description: null,
        headers: { 'X-B': '2' },
        retryPolicy: { max_attempts: 4 },
        url: undefined,
      });

      expect(after).toEqual({
        ...before,
        events: ['swap.*'],
        description: null,
        headers: { 'X-B': '2' },
        retryPolicy: { ...before.retryPolicy, max_attempts: 4, jitter: 0.2 },
        updatedAt: expect.any(Date),
      });
      expect(await webhooks.getWebhook(id)).toEqual(after);
    });

    test('keeps the rules of the endpoint’s environment', async () => {
      const { id } = await webhooks.createWebhook(input({ environment: 'production' }));

      await expect(webhooks.updateWebhook(id, { url: 'http://example.com/', events: [] })).rejects.toMatchObject({
        code: 'webhook_invalid',
        problems: [
          { code: 'url_insecure', field: 'url' },
          { code: 'events_empty', field: 'events' },
        ],
      });
    });

    test('refuses the URL of another endpoint', async () => {
      const taken = await webhooks.createWebhook(input());
      const { id } = await webhooks.createWebhook(input());

      await expect(webhooks.updateWebhook(id, { url: taken.url })).rejects.toMatchObject({
        code: 'webhook_duplicate',
        field: 'url',
      });
    });

    test('two changes at once are both kept', async () => {
      const { id } = await webhooks.createWebhook(input());
      const { url } = input();

      await meanwhile(
        database,
        (transaction) => webhooks.updateWebhook(id, { url }, { transaction }),
        () => webhooks.updateWebhook(id, { version: 'v9' }),
      );

      expect(await webhooks.getWebhook(id)).toMatchObject({ url, version: 'v9' });
    });
  });

  test('suspend switches off with a reason, resume on again', async () => {
    const { id } = await webhooks.createWebhook(input());
    await webhooks.trackDeliveryAttempt(id, false);

    const suspended = await webhooks.suspendWebhook(id, 'moving the server');
    expect(suspended).toMatchObject({ status: 'inactive', isActive: false, statusReason: 'moving the server' });

    const resumed = await webhooks.resumeWebhook(id);
    expect(resumed).toMatchObject({
      status: 'active',
      isActive: true,
      statusReason: null,
      consecutiveFailuresCount: 0,
    });
    expect(resumed.statusChangedAt.getTime()).toBeGreaterThanOrEqual(suspended.statusChangedAt.getTime());
  });

  test('a deleted endpoint is gone for every method', async () => {
    const { id } = await webhooks.createWebhook(input());
    await webhooks.deleteWebhook(id);

    const calls = [
      webhooks.getWebhook(id),
      webhooks.updateWebhook(id, { description: 'x' }),
      webhooks.deleteWebhook(id),
      webhooks.rotateSecret(id),
      webhooks.suspendWebhook(id),
      webhooks.resumeWebhook(id),
      webhooks.sendTestEvent(id),
      webhooks.trackDeliveryAttempt(id, true),
    ];
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'webhook_not_found' } });
    }
    expect((await webhooks.listWebhooks({ includeDeleted: true })).items).toContainEqual(
      expect.objectContaining({ id, status: 'inactive', deletedAt: expect.any(Date) }),
    );
  });

  describe('trackDeliveryAttempt', () => {
    test('counts, also many at once', async () => {
      const { id } = await webhooks.createWebhook(input());
      await Promise.all(Array.from({ length: 9 }, (_, i) => webhooks.trackDeliveryAttempt(id, i % 3 === 0, `no ${i}`)));
      await webhooks.trackDeliveryAttempt(id, false, `\0${'x'.repeat(2000)}`);

      const endpoint = await webhooks.getWebhook(id);
      expect(endpoint).toMatchObject({
        deliveryAttemptsCount: 10,
        successfulDeliveriesCount: 3,
        failedDeliveriesCount: 7,
        lastDeliveryAttempt: expect.any(Date),
        lastSuccessfulDelivery: expect.any(Date),
        lastFailureReason: ` ${'x'.repeat(999)}`,
      });
    });

    test('counts failures in a row', async () => {
      const { id } = await webhooks.createWebhook(input());
      const inARow = async (success: boolean): Promise<number> => {
        await webhooks.trackDeliveryAttempt(id, success);
        return (await webhooks.getWebhook(id)).consecutiveFailuresCount;
      };

      expect([await inARow(false), await inARow(false), await inARow(true), await inARow(false)]).toEqual([1, 2, 0, 1]);
      expect(await webhooks.getWebhook(id)).toMatchObject({ lastFailureReason: 'unknown' });
    });

    test('is no change of the endpoint', async () => {
      const { id, updatedAt } = await webhooks.createWebhook(input());
      await webhooks.trackDeliveryAttempt(id, true);

      expect((await webhooks.getWebhook(id)).updatedAt).toEqual(updatedAt);
    });
  });
});
