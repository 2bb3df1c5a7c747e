import type { DeliverySettings } from '../webhooks/deliverySettings.ts';
import type { ClaimedDelivery } from './store/claimDueDeliveries.ts';

/**
 * The bytes that are sent: MoonPay's own, or an envelope of ours around the data. The envelope is put together as text,
 * so that the digits of an amount stay what they were; it is the same at every attempt.
 */
export function payloadOf(delivery: ClaimedDelivery, payload: DeliverySettings['payload']): Uint8Array {
  const { event } = delivery;
  switch (payload) {
    case 'provider':
      return event.rawBody;
    case 'envelope': {
      const head = JSON.stringify({
        id: `evt_${delivery.eventId}`,
        type: event.name,
        environment: event.environment,
        occurred_at: (event.occurredAt ?? event.receivedAt).toISOString(),
        provider_type: event.providerType,
      });
      return Buffer.from(`${head.slice(0, -1)},"data":${event.dataText ?? 'null'}}`);
    }
  }
}
