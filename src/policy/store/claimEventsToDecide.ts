import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { StoredEvent } from '../eventInput.ts';

export interface ClaimedEvent extends StoredEvent {
  /** Events with the same one are decided in their order. */
  readonly order_key: string;
  /** Of the transaction. */
  readonly now: Date;
}

/** The events to decide next, in the order of arrival. They are the transaction's until it ends. */
export async function claimEventsToDecide(
  transaction: Db,
  { limit, lookAt }: { readonly limit: number; readonly lookAt: number },
): Promise<ClaimedEvent[]> {
  const { rows } = await sql<ClaimedEvent>`
    select id, environment, event_name, event_type, entity_type, entity_id, order_key, at, event_json as json, now
    from moonguard.claim_events_to_decide(${limit}, ${lookAt})
  `.execute(transaction);
  return rows;
}
