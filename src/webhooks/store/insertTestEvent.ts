import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { WebhookEndpoint } from '../endpoint.ts';

export interface TestEvent {
  readonly id: string;
  readonly deliveryId: string;
  /** JSON, sent as it is. */
  readonly body: string;
}

/** Stores an event of our own with a delivery to this endpoint alone. There is nothing to decide on it. */
export async function insertTestEvent(
  transaction: Db,
  { id, environment }: Pick<WebhookEndpoint, 'id' | 'environment'>,
  event: TestEvent,
): Promise<void> {
  await sql`
    with event as (
      insert into public.moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment,
        dedupe_key, processed, processed_at, processing_attempts, received_at, sequence)
      values (${event.id}, 'webhook.test', 'webhook.test', ${event.body}::jsonb, convert_to(${event.body}, 'UTF8'), '',
        ${environment}, ${`webhook.test:${event.id}`}, true, now(), 0, now(), nextval('moonguard.event_sequence'))
      returning id, sequence
    ), delivery as (
      insert into moonguard.deliveries (id, event_id, endpoint_id, event_sequence)
      select ${event.deliveryId}::uuid, id, ${id}::uuid, sequence from event
      returning id
    )
    select pg_notify('moonguard_deliveries', '') from delivery
  `.execute(transaction);
}
