import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { webhookBody } from '../payload.ts';

/** Makes events that are decided already, each with one delivery that is due; before them there is nothing. */
export async function refillDeliveries(db: Db, deliveries: number, endpointId: string): Promise<void> {
  await sql`truncate public.moonpay_webhook_events cascade`.execute(db);
  await sql`
    update public.moonpay_webhook_config
    set delivery_attempts_count = 0, successful_deliveries_count = 0, failed_deliveries_count = 0
    where id = ${endpointId}::uuid`.execute(db);
  const placeholder = '00000000-0000-0000-0000-000000000000';
  await sql`
    with event as (
      insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name,
        dedupe_key, entity_type, entity_id, occurred_at, processed, processed_at, sequence)
      select id, 'sandbox', 't=0,s=0', convert_to(body, 'UTF8'), body::jsonb, 'transaction_updated', 'transaction.completed',
        id::text, 'transaction', id::text, now(), true, now(), nextval('moonguard.event_sequence')
      from (select moonguard.uuid_v7() as id from generate_series(1, ${deliveries}::integer)) as made
      cross join lateral (select replace(${webhookBody(placeholder)}, ${placeholder}, id::text) as body) as filled
      returning id
    )
    insert into moonguard.deliveries (event_id, endpoint_id) select id, ${endpointId}::uuid from event
  `.execute(db);
  await sql`vacuum (analyze) public.moonpay_webhook_events, moonguard.deliveries, moonguard.delivery_attempts`.execute(
    db,
  );
}

/** Throws unless every delivery was made once, and deliveries, attempts and counters all say so. */
export async function checkDelivered(db: Db, expected: number, endpointId: string): Promise<void> {
  const { rows } = await sql<Record<string, number>>`
    select
      (select count(*) from moonguard.deliveries where status = 'delivered') as deliveries,
      (select count(*) from moonguard.delivery_attempts where outcome = 'delivered') as attempts,
      endpoint.delivery_attempts_count::bigint as attempts_counted,
      endpoint.successful_deliveries_count::bigint as successes_counted
    from public.moonpay_webhook_config endpoint where endpoint.id = ${endpointId}::uuid
  `.execute(db);
  const counts = Object.entries(rows[0] ?? {});
  if (counts.length > 0 && counts.every(([, count]) => count === expected)) return;
  throw new Error(`Of ${expected} deliveries are recorded: ${counts.map((entry) => entry.join(' ')).join(', ')}.`);
}
