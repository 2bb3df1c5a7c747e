import type { Moonguard } from '../../moonguard.ts';
import type { WebhookEndpoint } from '../../webhooks/endpoint.ts';
import type { DemoReceiver } from './receiver.ts';

/** Two receivers of events, as a company could have them. */
export const TROUBLED_ENDPOINT = 'ledger';
const subscriptions = {
  orders: ['*'],
  [TROUBLED_ENDPOINT]: ['transaction.*', 'sell_transaction.*'],
} as const;

/** Quick, so that somebody who watches sees the retries. */
const retryPolicy = {
  max_attempts: 8,
  backoff_strategy: 'exponential',
  initial_delay_ms: 500,
  max_delay_ms: 4_000,
} as const;

type Webhooks = Moonguard['webhooks'];

/** Makes the endpoints lead to the receiver: new ones, or those of the last time. @returns their names by row id */
export async function openEndpoints(webhooks: Webhooks, receiver: DemoReceiver): Promise<Map<string, string>> {
  const known = await findEndpoints(webhooks);
  const names = new Map<string, string>();
  for (const [name, events] of Object.entries(subscriptions)) {
    const url = receiver.urlOf(name);
    const earlier = known.get(name);
    if (earlier === undefined) {
      const created = await webhooks.createWebhook({
        url,
        events,
        environment: 'sandbox',
        description: `Demo: ${name}`,
        metadata: { demo: name },
        retryPolicy,
      });
      receiver.setSecret(name, created.secret);
      names.set(created.id, name);
      continue;
    }
    await webhooks.updateWebhook(earlier.id, { url });
    receiver.setSecret(name, (await webhooks.rotateSecret(earlier.id, { overlapSeconds: 0 })).secret);
    await webhooks.resumeWebhook(earlier.id);
    await sendHeld(webhooks, earlier);
    names.set(earlier.id, name);
  }
  return names;
}

/** Nobody listens when the demo is over: what comes meanwhile is held until it runs again. */
export async function closeEndpoints(webhooks: Webhooks, names: ReadonlyMap<string, string>): Promise<void> {
  for (const id of names.keys()) await webhooks.suspendWebhook(id, 'the demo is not running');
}

async function findEndpoints(webhooks: Webhooks): Promise<Map<unknown, WebhookEndpoint>> {
  const { items } = await webhooks.listWebhooks({ environment: 'sandbox', limit: 200 });
  return new Map(items.map((endpoint) => [endpoint.metadata['demo'], endpoint]));
}

async function sendHeld(webhooks: Webhooks, { id }: WebhookEndpoint): Promise<void> {
  const { items } = await webhooks.listUndelivered({ webhookId: id, limit: 200 });
  for (const delivery of items) await webhooks.retryDelivery(delivery.id);
}
