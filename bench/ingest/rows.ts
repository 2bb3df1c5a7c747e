import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { ENDPOINTS } from './scenario.ts';

/** Leaves the tables as a new installation has them: empty, and the planner knows nothing of them. */
export async function removeEvents(db: Db): Promise<void> {
  await sql`truncate public.moonpay_webhook_events, moonguard.deliveries, moonguard.delivery_attempts, public.moonpay_transactions cascade`.execute(
    db,
  );
}

/** Throws unless every event is stored, with its deliveries and its transaction. */
export async function checkStored(db: Db, events: number): Promise<void> {
  const { rows } = await sql<{ events: number; deliveries: number; transactions: number }>`
    select
      (select count(*) from public.moonpay_webhook_events) as events,
      (select count(*) from moonguard.deliveries where status = 'pending') as deliveries,
      (select count(*) from public.moonpay_transactions where status = 'completed') as transactions
  `.execute(db);
  const stored = rows[0];
  if (stored?.events === events && stored.deliveries === events * ENDPOINTS && stored.transactions === events) return;
  throw new Error(`Of ${events} events answered with 200 are stored: ${JSON.stringify(stored)}.`);
}
