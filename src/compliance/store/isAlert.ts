import { type RawBuilder, sql } from 'kysely';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** True for the alert whose `id` or `alert_id` this is. */
export function isAlert(alertId: string): RawBuilder<boolean> {
  return uuid.test(alertId) ? sql`(id = ${alertId}::uuid or alert_id = ${alertId})` : sql`alert_id = ${alertId}`;
}
