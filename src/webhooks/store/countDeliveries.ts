import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { DeliveryCounts, EndpointWindow } from '../statistics.ts';
import { endpointsIn } from './attemptsIn.ts';

/** Deliveries made in the window, whose ids say when they were made. */
export async function countDeliveries(db: Db, window: EndpointWindow): Promise<DeliveryCounts> {
  const counts = sql<DeliveryCounts>`(
    select count(*) as made,
      count(*) filter (where status = 'pending') as pending,
      count(*) filter (where status = 'delivered') as delivered,
      count(*) filter (where status = 'held') as held,
      count(*) filter (where status = 'exhausted') as exhausted,
      count(*) filter (where status = 'filtered') as filtered
    from moonguard.deliveries
    where endpoint_id in ${endpointsIn(window)}
      and (${window.since}::timestamptz is null or id >= moonguard.uuid_v7_floor(${window.since}))
      and (${window.until}::timestamptz is null or id < moonguard.uuid_v7_floor(${window.until})))`;
  return db.selectFrom(counts.as('counts')).selectAll().executeTakeFirstOrThrow();
}
