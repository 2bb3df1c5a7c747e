import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertPair } from './linkAlerts.ts';

/** Takes each of the two out of the other's `related_alerts`; changes nothing where it is not in there. */
export async function unlinkAlerts(transaction: Db, [one, other]: AlertPair): Promise<void> {
  await sql`
    update public.moonpay_compliance_alerts alert
    set related_alerts = array_remove(alert.related_alerts, other.alert_id)
    from public.moonpay_compliance_alerts other
    where (alert.id, other.id) in ((${one}::uuid, ${other}::uuid), (${other}::uuid, ${one}::uuid))
      and other.alert_id = any (alert.related_alerts)
  `.execute(transaction);
}
