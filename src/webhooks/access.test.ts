import { afterAll, beforeAll, expect, test } from 'vitest';
import { asUser, type User } from '../../test/support/asUser.ts';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import type { WebhookEndpoint } from './endpoint.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

const user = (role: User['role']): User => ({ sub: 'maria', role });

forEachDatabase('endpoints in the transaction of a signed-in user', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let endpoint: WebhookEndpoint;
  let deliveryId: string;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
    endpoint = await webhooks.createWebhook({ url: 'https://example.com/', events: ['*'], environment: 'sandbox' });
    deliveryId = await webhooks.sendTestEvent(endpoint.id);
  });
  afterAll(() => database.close());

  test.each(['admin', 'developer', 'auditor', 'compliance_officer'] as const)('%s reads them', async (role) => {
    await asUser(database, user(role), async (transaction) => {
      expect((await webhooks.listWebhooks({}, { transaction })).items).toHaveLength(1);
      expect(await webhooks.getDelivery(deliveryId, { transaction })).toMatchObject({ id: deliveryId });
      expect(await webhooks.getStatistics({ webhookId: endpoint.id }, { transaction })).toMatchObject({ attempts: 0 });
    });
  });

  test('compliance_analyst does not', async () => {
    await asUser(database, user('compliance_analyst'), async (transaction) => {
      expect((await webhooks.listWebhooks({}, { transaction })).items).toEqual([]);
      expect((await webhooks.listDeliveries({}, { transaction })).items).toEqual([]);
      const read = webhooks.getWebhook(endpoint.id, { transaction });
      expect((await refusal(read)).code).toBe('webhook_not_found');
    });
  });

  test.each(['admin', 'developer'] as const)('%s changes them', async (role) => {
    await asUser(database, user(role), async (transaction) => {
      await webhooks.updateWebhook(endpoint.id, { description: role }, { transaction });
      await webhooks.suspendWebhook(endpoint.id, 'for now', { transaction });
      await webhooks.resumeWebhook(endpoint.id, { transaction });
      await webhooks.retryDelivery(deliveryId, { transaction });
      expect(await webhooks.getDelivery(deliveryId, { transaction })).toMatchObject({ status: 'pending' });
    });
    expect(await webhooks.getWebhook(endpoint.id)).toMatchObject({ description: role, status: 'active' });
  });

  test.each(['auditor', 'compliance_officer'] as const)('%s does not', async (role) => {
    await asUser(database, user(role), async (transaction) => {
      for (const change of [
        () => webhooks.updateWebhook(endpoint.id, { description: 'mine' }, { transaction }),
        () => webhooks.suspendWebhook(endpoint.id, 'for now', { transaction }),
        () => webhooks.deleteWebhook(endpoint.id, { transaction }),
      ]) {
        expect((await refusal(change())).code).toBe('webhook_not_found');
      }
      expect((await refusal(webhooks.retryDelivery(deliveryId, { transaction }))).code).toBe('delivery_not_found');
    });
  });
});
