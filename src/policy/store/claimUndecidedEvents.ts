import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { StoredEventFacts } from '../eventFacts.ts';

export interface UndecidedEvent extends StoredEventFacts {
  /** Decisions on it that failed. */
  readonly failures: number;
}

/**
 * The oldest events that nobody has decided on, locked until the transaction ends; those that another process decides on
 * are left out, and so are those that have failed `maxFailures` times. Rows from before Moonguard have no dedupe_key.
 */
export async function claimUndecidedEvents(
  transaction: Db,
  { limit, maxFailures }: { readonly limit: number; readonly maxFailures: number },
): Promise<UndecidedEvent[]> {
  const { rows } = await sql<UndecidedEvent>`
    select id, environment, event_name, event_type, entity_type, entity_id, event_data,
      coalesce(processing_attempts, 0) as failures
    from public.moonpay_webhook_events
    where not processed and dedupe_key is not null and coalesce(processing_attempts, 0) < ${maxFailures}
    order by sequence
    limit ${limit}
    for update skip locked
  `.execute(transaction);
  return rows;
}
