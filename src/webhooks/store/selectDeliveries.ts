import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import type { DeliveryStatus } from '../delivery.ts';

/** A worker has it: its lease has not ended. */
const leased = sql<boolean>`coalesce(d.leased_until > now(), false)`;

/** Deliveries as `Delivery`, to be narrowed down by whoever asks. */
export function selectDeliveries(db: Db) {
  return db
    .selectFrom('moonguard.deliveries as d')
    .innerJoin('moonpay_webhook_config as c', 'c.id', 'd.endpoint_id')
    .innerJoin('moonpay_webhook_events as e', 'e.id', 'd.event_id')
    .select([
      'd.id',
      'd.event_id as eventId',
      sql<string>`coalesce(e.event_name, e.event_type)`.as('eventName'),
      sql<Environment>`c.environment`.as('environment'),
      'd.endpoint_id as endpointId',
      'c.webhook_id as webhookId',
      sql<DeliveryStatus>`d.status`.as('status'),
      leased.as('inFlight'),
      sql<Date | null>`case when d.status = 'pending' and not ${leased} then d.next_attempt_at end`.as('nextAttemptAt'),
      'd.attempts_count as attemptsCount',
      'd.last_attempt_at as lastAttemptAt',
      'd.last_response_status as lastResponseStatus',
      'd.last_error_class as lastErrorClass',
      'd.settled_at as settledAt',
      'd.created_at as createdAt',
    ]);
}
