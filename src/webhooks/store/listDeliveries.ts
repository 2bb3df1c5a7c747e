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

/** Deliveries, the newest first: their ids sort by the time they were made. */
export function listDeliveries(db: Db, filter: DeliveryFilter, limit: number): Promise<Delivery[]> {
  const { endpointId, eventId, statuses, cursor } = filter;
  let query = selectDeliveries(db);
  if (endpointId !== undefined) query = query.where('d.endpoint_id', '=', endpointId);
  if (eventId !== undefined) query = query.where('d.event_id', '=', eventId);
  if (statuses !== undefined) query = query.where('d.status', 'in', statuses);
  if (cursor !== undefined) query = query.where('d.id', '<', cursor);
  return query.orderBy('d.id', 'desc').limit(limit).execute();
}
