import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Has an event that failed, or was set aside, decided as if it were new; false: it is decided, or there is none. */
export async function resumeDeciding(transaction: Db, eventId: string): Promise<boolean> {
  const { rows } = await sql<{ id: string }>`
    update public.moonpay_webhook_events
    set processing_attempts = 0, decide_after = null, last_processing_error = null
    where id = ${eventId}::uuid and not processed and dedupe_key is not null
    returning id, pg_notify('moonguard_events', '')
  `.execute(transaction);
  return rows.length > 0;
}
