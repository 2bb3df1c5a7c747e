import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * Ends leases that were not used: the deliveries are due again at once, for whoever asks first; those of an endpoint that
 * was stopped meanwhile are held.
 */
export async function giveBackDeliveries(
  db: Db,
  leases: readonly { readonly deliveryId: string; readonly leaseToken: string }[],
): Promise<void> {
  const rows = leases.map(({ deliveryId, leaseToken }) => ({ delivery_id: deliveryId, lease_token: leaseToken }));
  await sql`
    update moonguard.deliveries d
    set status = case when endpoint.status in ('active', 'suspended') then 'pending' else 'held' end,
      lease_token = null,
      next_attempt_at = now()
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as lease (delivery_id uuid, lease_token uuid),
      public.moonpay_webhook_config endpoint
    where d.id = lease.delivery_id and d.lease_token = lease.lease_token and d.status = 'pending'
      and endpoint.id = d.endpoint_id
  `.execute(db);
}
