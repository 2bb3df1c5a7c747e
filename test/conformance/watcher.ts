import type { Endpoint } from './endpoint.ts';
import type { Product } from './product.ts';
import { startReceiver } from './receiver.ts';

/** An operational event, as it is sent. */
export interface OperationalEvent {
  readonly type: string;
  readonly data: { readonly webhookId: string } & Readonly<Record<string, unknown>>;
}

export interface Watcher {
  /** All that it has been told about this endpoint. */
  readonly toldAbout: (endpoint: Endpoint) => Promise<readonly OperationalEvent[]>;
}

/** Somebody who subscribes to the operational events of all other endpoints. */
export async function startWatcher(product: Product): Promise<Watcher> {
  const receiver = await startReceiver();
  const watching = await product.endpoint(receiver.url, { events: ['webhook.*'] });
  return {
    toldAbout: async (endpoint) => {
      // Operational events are stored with what they tell of, so that none is still to come.
      const { items } = await product.webhooks.listDeliveries({ webhookId: watching.id, limit: 200 });
      const arrivals = await receiver.arrived(items.length);
      return arrivals
        .map(({ body }) => JSON.parse(body.toString()) as OperationalEvent)
        .filter(({ data }) => data.webhookId === endpoint.webhookId);
    },
  };
}
