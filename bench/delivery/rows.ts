import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { webhookBody } from '../payload.ts';

/** Leaves nothing but events that are decided already, each with a delivery to each endpoint that is due. */
export async function refillDeliveries(db: Db, events: number, endpointIds: readonly string[]): Promise<void> {
  await sql`truncate moonguard.delivery_attempts, moonguard.deliveries, public.moonpay_webhook_events cascade`.execute(
    db,
  );
  await sql`
    update public.moonpay_webhook_config
    set status = 'active', consecutive_failures_count = 0,
      delivery_attempts_count = 0, successful_deliveries_count = 0, failed_deliveries_count = 0`.execute(db);
  await addDeliveries(db, events, endpointIds);
}

/** Makes such events, and lets the planner know of them. */
export async function addDeliveries(db: Db, events: number, endpointIds: readonly string[]): Promise<void> {
  const placeholder = '00000000-0000-0000-0000-000000000000';
  await sql`
    with event as (
      insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name,
        dedupe_key, entity_type, entity_id, occurred_at, processed, processed_at, sequence)
      select id, 'sandbox', 't=0,s=0', convert_to(body, 'UTF8'), body::jsonb, 'transaction_updated', 'transaction.completed',
        id::text, 'transaction', id::text, now(), true, now(), nextval('moonguard.event_sequence')
      from (select moonguard.uuid_v7() as id from generate_series(1, ${events}::integer)) as made
      cross join lateral (select replace(${webhookBody(placeholder)}, ${placeholder}, id::text) as body) as filled
      returning id, sequence
    )
    insert into moonguard.deliveries (event_id, endpoint_id, event_sequence)
    select event.id, endpoint.id, event.sequence
    from event cross join unnest(${endpointIds}::uuid[]) as endpoint (id)
  `.execute(db);
  await sql`vacuum (analyze) public.moonpay_webhook_events, moonguard.deliveries, moonguard.delivery_attempts`.execute(
    db,
  );
}

/** Throws unless every delivery to these endpoints was made, and deliveries, attempts and counters all say so. */
export async function checkDelivered(
  db: Db,
  endpointIds: readonly string[],
  expected: { readonly delivered: number; readonly refused: number },
): Promise<void> {
  const { rows } = await sql<
    Record<'deliveries' | 'attempts' | 'successes' | 'attemptsCounted' | 'successesCounted', number>
  >`
    select
      (select count(*) from moonguard.deliveries where status = 'delivered' and endpoint_id = any(${endpointIds}::uuid[])) as deliveries,
      (select count(*) from moonguard.delivery_attempts where endpoint_id = any(${endpointIds}::uuid[])) as attempts,
      (select count(*) from moonguard.delivery_attempts
        where outcome = 'delivered' and endpoint_id = any(${endpointIds}::uuid[])) as successes,
      sum(endpoint.delivery_attempts_count)::bigint as "attemptsCounted",
      sum(endpoint.successful_deliveries_count)::bigint as "successesCounted"
    from public.moonpay_webhook_config endpoint where endpoint.id = any(${endpointIds}::uuid[])
  `.execute(db);
  const { delivered } = expected;
  const attempts = delivered + expected.refused;
  const right = {
    deliveries: delivered,
    attempts,
    successes: delivered,
    attemptsCounted: attempts,
    successesCounted: delivered,
  };
  const recorded = rows[0];
  if (recorded !== undefined && entriesOf(recorded) === entriesOf(right)) return;
  throw new Error(`Recorded are ${JSON.stringify(recorded)} instead of ${JSON.stringify(right)}.`);
}

function entriesOf(counts: Readonly<Record<string, number>>): string {
  return Object.keys(counts)
    .toSorted()
    .map((name) => `${name} ${counts[name]}`)
    .join();
}
