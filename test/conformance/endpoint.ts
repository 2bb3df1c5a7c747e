import type { Observation } from '../../src/observe/observation.ts';
import type { DeliveryWithAttempts } from '../../src/webhooks/delivery.ts';
import type { EndpointStatus, WebhookEndpoint } from '../../src/webhooks/endpoint.ts';
import type { Product } from './product.ts';

type DeliveryObservation = Extract<Observation, { readonly deliveryId: string }>;

/** An endpoint of the running product, as its owner sees it. */
export class Endpoint {
  readonly #product: Product;
  readonly id: string;
  readonly webhookId: string;
  /** What its deliveries are signed with. */
  readonly secret: string;

  constructor(product: Product, { id, webhookId, secret }: Pick<Endpoint, 'id' | 'webhookId' | 'secret'>) {
    this.#product = product;
    this.id = id;
    this.webhookId = webhookId;
    this.secret = secret;
  }

  read(): Promise<WebhookEndpoint> {
    return this.#product.webhooks.getWebhook(this.id);
  }

  /** When it next becomes active, suspended or failed by itself. */
  async becomes(status: EndpointStatus): Promise<void> {
    const { id } = this;
    await this.#product.next((o) => o.type === 'endpoint.status_changed' && o.endpointId === id && o.status === status);
  }

  /** The delivery of an event to this endpoint, as it stands now. */
  async delivery(eventId: string): Promise<DeliveryWithAttempts> {
    const { webhooks } = this.#product;
    const { items } = await webhooks.listDeliveries({ webhookId: this.id, eventId });
    const [delivery] = items;
    if (delivery === undefined) throw new Error(`The event ${eventId} has no delivery to this endpoint.`);
    return webhooks.getDelivery(delivery.id);
  }

  /** The delivery when it is delivered, exhausted, held or filtered. */
  settled(eventId: string): Promise<DeliveryWithAttempts> {
    return this.after(eventId, 'delivery.delivered', 'delivery.exhausted', 'delivery.held', 'delivery.filtered');
  }

  /** The delivery when one of these is reported of it. */
  async after(eventId: string, ...types: readonly DeliveryObservation['type'][]): Promise<DeliveryWithAttempts> {
    const { id } = await this.delivery(eventId);
    await this.#product.next((o) => 'deliveryId' in o && o.deliveryId === id && types.includes(o.type));
    return this.#product.webhooks.getDelivery(id);
  }

  /** In how many ms the delivery will be tried again, when its next attempt has failed. */
  async failed(eventId: string): Promise<number> {
    const { id } = await this.delivery(eventId);
    const { nextAttemptInMs } = await this.#product.next(
      (o): o is Extract<Observation, { type: 'delivery.failed' }> =>
        o.type === 'delivery.failed' && o.deliveryId === id,
    );
    return nextAttemptInMs;
  }
}
