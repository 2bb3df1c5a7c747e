import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** How much there is, deleted endpoints included. */
export interface Inventory {
  readonly events: number;
  /** Those that policies have not been applied to yet. */
  readonly undecidedEvents: number;
  readonly deliveries: number;
  readonly alerts: number;
  readonly policyLogRows: number;
}

/** Reads every row of the four tables: not for every minute of a large installation. */
export async function readInventory(db: Db): Promise<Inventory> {
  const { rows } = await sql<Inventory>`
    select (select count(*) from public.moonpay_webhook_events) as events,
      (select count(*) from public.moonpay_webhook_events where not processed and dedupe_key is not null) as "undecidedEvents",
      (select count(*) from moonguard.deliveries) as deliveries,
      (select count(*) from public.moonpay_compliance_alerts) as alerts,
      (select count(*) from public.moonpay_policy_logs) as "policyLogRows"
  `.execute(db);
  return rows[0] ?? { events: 0, undecidedEvents: 0, deliveries: 0, alerts: 0, policyLogRows: 0 };
}
