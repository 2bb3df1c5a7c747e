import { sql } from 'kysely';
import type { Database } from '../../src/database/database.ts';
import type { DeliveryStatus } from '../../src/webhooks/delivery.ts';

export interface PastDeliveries {
  readonly endpointId: string;
  readonly count?: number;
  readonly status?: DeliveryStatus;
  readonly eventName?: string;
  /** How long ago they were made and, but for held ones, settled. */
  readonly secondsAgo?: number;
}

/** Events of the past with a delivery each, as workers left them. Returns the ids of the deliveries, the oldest first. */
export async function insertPastDeliveries(
  { db }: Pick<Database, 'db'>,
  { endpointId, count = 1, status = 'held', eventName = 'transaction.completed', secondsAgo = 3600 }: PastDeliveries,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with past as materialized (
      select n, now() - make_interval(secs => ${secondsAgo}) + make_interval(secs => n / 1000.0) as at
      from generate_series(1, ${count}::integer) as n
    ), identified as materialized (
      select *, (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid as id
      from past
    ), event as (
      insert into public.moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment,
        dedupe_key, processed, processed_at, processing_attempts, received_at, sequence)
      select id, 'transaction_updated', ${eventName}::text, '{"type": "transaction_updated", "data": {}}',
        convert_to('{"type": "transaction_updated", "data": {}}', 'UTF8'), '', 'sandbox', id::text, true, at, 0, at,
        nextval('moonguard.event_sequence')
      from identified order by n
      returning id, sequence
    )
    insert into moonguard.deliveries (event_id, endpoint_id, status, event_sequence, created_at, next_attempt_at, settled_at)
    select event.id, ${endpointId}::uuid, ${status}::text, event.sequence, identified.at, identified.at,
      case when ${status}::text <> 'held' then identified.at end
    from event join identified on identified.id = event.id
    order by identified.n
    returning id
  `.execute(db);
  return rows.map(({ id }) => id);
}
