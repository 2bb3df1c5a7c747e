import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** @param reason is seen by developers too: it must not say what was to be decided */
export async function markDecisionFailed(transaction: Db, eventId: string, reason: string): Promise<void> {
  await sql`
    update public.moonpay_webhook_events
    set processing_attempts = coalesce(processing_attempts, 0) + 1, last_processing_error = ${reason}
    where id = ${eventId}::uuid
  `.execute(transaction);
}
