import type { ClaimedDelivery, ClaimedEndpoint } from './store/claimDueDeliveries.ts';

/**
 * The bytes that are sent: MoonPay's own, or an envelope of ours around the data. The envelope is put together as text,
 * so that the digits of an amount stay what they were; it is the same at every attempt.
 */
export function payloadOf(
  { eventId, event }: ClaimedDelivery,
  { delivery_settings, environment }: Pick<ClaimedEndpoint, 'delivery_settings' | 'environment'>,
): Uint8Array {
  switch (delivery_settings.payload) {
    case 'provider':
      return event.rawBody;
    case 'envelope': {
      const head = JSON.stringify({
        id: `evt_${eventId}`,
        type: event.name,
        environment,
        occurred_at: event.occurredAt?.toISOString(),
        provider_type: event.providerType,
      });
      return Buffer.from(`${head.slice(0, -1)},"data":${event.dataText ?? 'null'}}`);
    }
  }
}
