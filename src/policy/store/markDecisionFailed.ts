import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * Counts a decision that failed and has the event wait: 1 s, 5 s, 30 s, 2 min. The fifth is the last: the event is not
 * claimed again. Returns how many there were.
 * @param reason is seen by developers too: it must not say what was to be decided
 */
export async function markDecisionFailed(transaction: Db, eventId: string, reason: string): Promise<number> {
  const { rows } = await sql<{ failures: number }>`
    update public.moonpay_webhook_events
    set processing_attempts = coalesce(processing_attempts, 0) + 1, last_processing_error = ${reason},
      decide_after = now() + ('{1s,5s,30s,2min}'::interval[])[coalesce(processing_attempts, 0) + 1]
    where id = ${eventId}::uuid
    returning processing_attempts as failures
  `.execute(transaction);
  return rows[0]?.failures ?? 0;
}
