import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';

/** A delivery that this worker has leased, with what is to be sent. */
export interface ClaimedDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly endpointId: string;
  /** Requests that were made before. */
  readonly attemptsMade: number;
  readonly event: {
    readonly name: string;
    readonly environment: Environment;
    readonly providerType: string;
    readonly occurredAt: Date | null;
    readonly receivedAt: Date;
    /** MoonPay's bytes. */
    readonly rawBody: Uint8Array;
    /** The `data` as JSON with the digits it came with; null unless the endpoint wants envelopes. */
    readonly dataText: string | null;
  };
}

/**
 * Leases deliveries that are due, oldest first, and skips those that another worker is leasing at this moment. The lease
 * ends `leaseMs` and the endpoint's timeout from now: next_attempt_at says so, hence an expired lease is simply due again.
 *
 * `= any (array (…))` pins the plan: the rows are found through the partial index on what is pending, whatever the
 * statistics say. `update … from` read the whole table (15.8 against 3.6 ms for a batch).
 */
export async function claimDueDeliveries(
  db: Db,
  claim: { readonly limit: number; readonly leaseMs: number; readonly leaseToken: string; readonly now?: Date },
): Promise<ClaimedDelivery[]> {
  const now = claim.now === undefined ? sql`now()` : sql`${claim.now}::timestamptz`;
  const { rows } = await sql<ClaimedRow>`
    with claimed as (
      update moonguard.deliveries d
      set lease_token = ${claim.leaseToken}::uuid,
        next_attempt_at = ${now} + make_interval(secs => ${claim.leaseMs}::double precision / 1000) + (
          select make_interval(secs => (endpoint.delivery_settings ->> 'timeout_ms')::double precision / 1000)
          from public.moonpay_webhook_config endpoint where endpoint.id = d.endpoint_id)
      where d.id = any (array(
        select due.id from moonguard.deliveries due
        where due.status = 'pending' and due.next_attempt_at <= ${now}
        order by due.next_attempt_at, due.id
        limit ${claim.limit}
        for update skip locked))
      returning d.id, d.event_id, d.endpoint_id, d.attempts_count
    )
    select claimed.id, claimed.event_id, claimed.endpoint_id, claimed.attempts_count,
      event.event_name, event.environment, event.event_type, event.occurred_at, event.received_at, event.raw_body,
      case when endpoint.delivery_settings ->> 'payload' = 'envelope'
        then coalesce(nullif(event.event_data -> 'data', 'null'), event.event_data)::text end as data_text
    from claimed
    join public.moonpay_webhook_config endpoint on endpoint.id = claimed.endpoint_id
    cross join lateral (select * from public.moonpay_webhook_events e where e.id = claimed.event_id) event
    order by event.sequence
  `.execute(db);
  return rows.map((row) => ({
    id: row.id,
    eventId: row.event_id,
    endpointId: row.endpoint_id,
    attemptsMade: row.attempts_count,
    event: {
      name: row.event_name,
      environment: row.environment,
      providerType: row.event_type,
      occurredAt: row.occurred_at,
      receivedAt: row.received_at,
      rawBody: row.raw_body,
      dataText: row.data_text,
    },
  }));
}

interface ClaimedRow {
  readonly id: string;
  readonly event_id: string;
  readonly endpoint_id: string;
  readonly attempts_count: number;
  readonly event_name: string;
  readonly environment: Environment;
  readonly event_type: string;
  readonly occurred_at: Date | null;
  readonly received_at: Date;
  readonly raw_body: Uint8Array;
  readonly data_text: string | null;
}
