import type { Database } from '../src/database/database.ts';
import { createMoonguard, type Moonguard } from '../src/moonguard.ts';
import type { Observe } from '../src/observe/observation.ts';
import type { CreateWebhookInput } from '../src/webhooks/endpointInput.ts';

/** MoonPay's key, that webhooks are signed with. */
export const WEBHOOK_KEY = 'wk_test_bench0000000000000000000000';

const MASTER_KEY = Buffer.alloc(32, 'bench').toString('base64');

/** One endpoint alone gets half of them, so that as many are under way as the others have. */
const SLOTS = 256;

/** The product as its users wire it, on a database that is migrated. */
export function openProduct(database: Database, observe: Observe = () => {}): Promise<Moonguard> {
  return createMoonguard({
    database,
    migrate: false,
    masterKey: MASTER_KEY,
    webhookKeys: { sandbox: [WEBHOOK_KEY] },
    allowLoopbackDestinations: true,
    deliveryConcurrency: SLOTS,
    observe,
  });
}

/** Makes endpoints of the sandbox that are subscribed to everything; returns their ids. */
export async function subscribe(
  database: Database,
  urls: readonly string[],
  settings: Pick<CreateWebhookInput, 'retryPolicy' | 'deliverySettings'> = {},
): Promise<string[]> {
  const product = await openProduct(database);
  const ids: string[] = [];
  for (const url of urls) {
    const { id } = await product.webhooks.createWebhook({ ...settings, url, events: ['*'], environment: 'sandbox' });
    ids.push(id);
  }
  await product.stop();
  return ids;
}
