import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';

/** Made in one statement; a million in one would keep all of it in memory. */
const AT_ONCE = 100_000;

/** Makes events whose delivery to the endpoint was made long ago, with its attempt. */
export async function addSettledDeliveries(db: Db, count: number, endpointId: string): Promise<void> {
  for (let left = count; left > 0; left -= AT_ONCE) {
    await sql`
      with event as (
        insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name,
          dedupe_key, entity_type, entity_id, occurred_at, processed, processed_at, sequence)
        select id, 'sandbox', 't=0,s=0', '{}', '{}', 'transaction_updated', 'transaction.completed',
          id::text, 'transaction', id::text, now(), true, now(), nextval('moonguard.event_sequence')
        from (select moonguard.uuid_v7() as id from generate_series(1, ${Math.min(left, AT_ONCE)}::integer)) as made
        returning id, sequence
      ), delivery as (
        insert into moonguard.deliveries (event_id, endpoint_id, event_sequence, status, attempts_count, last_attempt_at, settled_at)
        select id, ${endpointId}::uuid, sequence, 'delivered', 1, now(), now() from event
        returning id
      )
      insert into moonguard.delivery_attempts (delivery_id, attempt_number, endpoint_id, started_at, duration_ms, outcome)
      select id, 1, ${endpointId}::uuid, now(), 5, 'delivered' from delivery
    `.execute(db);
  }
}

export async function removePendingDeliveries(db: Db): Promise<void> {
  await sql`delete from public.moonpay_webhook_events e using moonguard.deliveries d where d.event_id = e.id and d.status = 'pending'`.execute(
    db,
  );
}
