import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Clears what earlier failures to decide left; a failure of the projection stays noted. */
export async function markEventsDecided(transaction: Db, eventIds: readonly string[]): Promise<void> {
  if (eventIds.length === 0) return;
  await sql`
    update public.moonpay_webhook_events
    set processed = true, processed_at = now(), decide_after = null,
      last_processing_error = case when processing_attempts > 0 then null else last_processing_error end
    where id in (select jsonb_array_elements_text(${JSON.stringify(eventIds)}::jsonb)::uuid)
  `.execute(transaction);
}
