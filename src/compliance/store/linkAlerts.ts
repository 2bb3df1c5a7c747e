import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Two alerts of one matter, by row id. */
export type AlertPair = readonly [string, string];

/** Names each of the two in the other's `related_alerts`; changes nothing where that is so already. */
export async function linkAlerts(transaction: Db, [one, other]: AlertPair): Promise<void> {
  await sql`
    update public.moonpay_compliance_alerts alert
    set related_alerts = alert.related_alerts || other.alert_id
    from public.moonpay_compliance_alerts other
    where (alert.id, other.id) in ((${one}::uuid, ${other}::uuid), (${other}::uuid, ${one}::uuid))
      and other.alert_id <> all (alert.related_alerts)
  `.execute(transaction);
}
