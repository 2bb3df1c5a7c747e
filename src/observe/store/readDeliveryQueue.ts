import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface DeliveryQueue {
  /** At most 100,000 are counted. */
  readonly pending: number;
  /** For how long the oldest is due that no worker has, to an active endpoint; 0 when there is none. */
  readonly oldestDueSeconds: number;
}

/** Looks at the first rows of indexes only, so that it may be asked every few seconds. */
export async function readDeliveryQueue(db: Db): Promise<DeliveryQueue> {
  const { rows } = await sql<DeliveryQueue>`
    select (select count(*) from (select from moonguard.deliveries where status = 'pending' limit 100000) as waiting) as pending,
      coalesce(extract(epoch from now() - min(oldest.next_attempt_at)), 0)::double precision as "oldestDueSeconds"
    from public.moonpay_webhook_config c
    cross join lateral (
      select d.next_attempt_at from moonguard.deliveries d
      where d.endpoint_id = c.id and d.status = 'pending' and d.next_attempt_at <= now()
        and (d.leased_until is null or d.leased_until <= now())
      order by d.next_attempt_at limit 1
    ) as oldest
    where c.status = 'active' and c.deleted_at is null
  `.execute(db);
  return rows[0] ?? { pending: 0, oldestDueSeconds: 0 };
}
