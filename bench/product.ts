import type { Database } from '../src/database/database.ts';
import { createMoonguard, type Moonguard } from '../src/moonguard.ts';
import type { Observe } from '../src/observe/observation.ts';

/** MoonPay's key, that webhooks are signed with. */
export const WEBHOOK_KEY = 'wk_test_bench0000000000000000000000';

const MASTER_KEY = Buffer.alloc(32, 'bench').toString('base64');

/** Requests in flight at a time, for whoever delivers. */
export const CONCURRENCY = 128;

/** The product as its users wire it, on a database that is migrated. */
export function openProduct(database: Database, observe: Observe = () => {}): Promise<Moonguard> {
  return createMoonguard({
    database,
    migrate: false,
    masterKey: MASTER_KEY,
    webhookKeys: { sandbox: [WEBHOOK_KEY] },
    allowLoopbackDestinations: true,
    deliveryConcurrency: CONCURRENCY,
    observe,
  });
}

/** Makes endpoints of the sandbox that are subscribed to everything; returns their ids. */
export async function subscribe(database: Database, urls: readonly string[]): Promise<string[]> {
  const product = await openProduct(database);
  const ids: string[] = [];
  for (const url of urls) {
    const { id } = await product.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
    ids.push(id);
  }
  await product.stop();
  return ids;
}
