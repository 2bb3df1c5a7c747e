import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Ends leases that were not used: the deliveries are due again at once, for whoever asks first. */
export async function giveBackDeliveries(
  db: Db,
  leases: readonly { readonly deliveryId: string; readonly leaseToken: string }[],
): Promise<void> {
  const rows = leases.map(({ deliveryId, leaseToken }) => ({ delivery_id: deliveryId, lease_token: leaseToken }));
  await sql`
    update moonguard.deliveries d set leased_until = null, lease_token = null
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as lease (delivery_id uuid, lease_token uuid)
    where d.id = lease.delivery_id and d.lease_token = lease.lease_token
  `.execute(db);
}
