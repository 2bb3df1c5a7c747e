import type { Observe } from '../observe/observation.ts';
import type { FilterVerdict } from '../webhooks/filter.ts';
import type { ReadyEndpoint } from './attempt.ts';
import type { ClaimedDelivery } from './store/claimDueDeliveries.ts';

export interface Choice {
  readonly wanted: readonly ClaimedDelivery[];
  readonly unwanted: readonly ClaimedDelivery[];
}

/**
 * What the endpoint's filter wants, in the order it came. A filter that cannot decide holds nothing back: rather one event
 * too many than one lost. Whoever asks for a delivery by name gets it.
 */
export function chooseWanted(
  deliveries: readonly ClaimedDelivery[],
  endpoint: ReadyEndpoint,
  observe: Observe,
): Choice {
  const { filter } = endpoint;
  if (filter === undefined) return { wanted: deliveries, unwanted: [] };
  const isWanted = (delivery: ClaimedDelivery): boolean => {
    if (delivery.isResend) return true;
    const verdict = decide(delivery, endpoint, filter);
    if ('matches' in verdict) return verdict.matches;
    observe({
      type: 'delivery.filter_failed',
      deliveryId: delivery.id,
      endpointId: endpoint.id,
      reason: verdict.error,
    });
    return true;
  };
  const { wanted = [], unwanted = [] } = Object.groupBy(deliveries, (delivery) =>
    isWanted(delivery) ? 'wanted' : 'unwanted',
  );
  return { wanted, unwanted };
}

function decide(
  { eventId, event }: ClaimedDelivery,
  { environment }: ReadyEndpoint,
  filter: NonNullable<ReadyEndpoint['filter']>,
): FilterVerdict {
  return filter({
    id: `evt_${eventId}`,
    name: event.name,
    type: event.providerType,
    environment,
    occurredAt: event.occurredAt ?? new Date(0),
    data: event.dataText === null ? null : JSON.parse(event.dataText),
  });
}
