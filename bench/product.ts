import type { Database } from '../src/database/database.ts';
import type { Moonguard } from '../src/moonguard.ts';
import type { Observe } from '../src/observe/observation.ts';
import type { CreateWebhookInput } from '../src/webhooks/endpointInput.ts';

/** MoonPay's key, that webhooks are signed with. */
export const WEBHOOK_KEY = 'wk_test_bench0000000000000000000000';

const MASTER_KEY = Buffer.alloc(32, 'bench').toString('base64');

/** The product as its users wire it, with every default, on a database that is migrated. */
export async function openProduct(database: Database, observe: Observe = () => {}): Promise<Moonguard> {
  const { createMoonguard } = await import('../src/moonguard.ts'); // half a second that the peers do without
  return createMoonguard({
    database,
    migrate: false,
    masterKey: MASTER_KEY,
    webhookKeys: { sandbox: [WEBHOOK_KEY] },
    allowLoopbackDestinations: true,
    observe,
  });
}

/** Makes endpoints of the sandbox that are subscribed to transactions, not to what happens to each other; returns their ids. */
export async function subscribe(
  database: Database,
  urls: readonly string[],
  settings: Pick<CreateWebhookInput, 'retryPolicy' | 'deliverySettings'> = {},
): Promise<string[]> {
  const product = await openProduct(database);
  const ids: string[] = [];
  for (const url of urls) {
    const { id } = await product.webhooks.createWebhook({
      ...settings,
      url,
      events: ['transaction.*'],
      environment: 'sandbox',
    });
    ids.push(id);
  }
  await product.stop();
  return ids;
}
