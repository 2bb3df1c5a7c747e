import type { Db } from '../../database/database.ts';
import type { Delivery, DeliveryStatus } from '../delivery.ts';
import { selectDeliveries } from './selectDeliveries.ts';

export interface DeliveryFilter {
  readonly endpointId?: string | undefined;
  readonly eventId?: string | undefined;
  readonly statuses?: readonly DeliveryStatus[] | undefined;
  /** Id of the delivery with which the page before ended. */
  readonly cursor?: string | undefined;
}

/**
 * Deliveries, the newest first: ids sort by the time they were made. Those of one endpoint come in the order of their
 * events, which its index has.
 */
export function listDeliveries(db: Db, filter: DeliveryFilter, limit: number): Promise<Delivery[]> {
  const { endpointId, eventId, statuses, cursor } = filter;
  const order = endpointId === undefined ? 'id' : 'event_id';
  let query = selectDeliveries(db);
  if (endpointId !== undefined) query = query.where('d.endpoint_id', '=', endpointId);
  if (eventId !== undefined) {
    // The index begins with the endpoint: it is asked for each of them.
    query = query
      .where('d.event_id', '=', eventId)
      .where('d.endpoint_id', 'in', (endpoints) => endpoints.selectFrom('moonpay_webhook_config').select('id'));
  }
  if (statuses !== undefined) query = query.where('d.status', 'in', statuses);
  if (cursor !== undefined) {
    query = query.where(`d.${order}`, '<', (previous) =>
      previous.selectFrom('moonguard.deliveries').select(order).where('id', '=', cursor),
    );
  }
  return query.orderBy(`d.${order}`, 'desc').limit(limit).execute();
}
