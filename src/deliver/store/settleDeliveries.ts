import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { failEndpoints } from './failEndpoints.ts';

/** What became of one claimed delivery. */
export interface SettledDelivery {
  readonly deliveryId: string;
  readonly endpointId: string;
  readonly leaseToken: string;
  readonly outcome: 'delivered' | 'retry' | 'exhausted' | 'held';
  /** Milliseconds until the next attempt; only for retry. */
  readonly retryInMs: number | undefined;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly responseStatus: number | undefined;
  /** At most 16 KiB. */
  readonly responseBody: Uint8Array | undefined;
  readonly errorClass: string | undefined;
  readonly errorMessage: string | undefined;
  /** The receiver said that the endpoint is gone for good. */
  readonly disablesEndpoint: boolean;
}

/**
 * Writes results: the deliveries, one attempt each, the counters and health of their endpoints. All of it or nothing, in
 * the caller's transaction. A result whose lease has passed to another worker changes nothing at all.
 *
 * Endpoints are locked first and in the order of their ids, as whoever stops an endpoint does it too before its
 * deliveries: no two of these transactions can wait for each other.
 * @returns ids of the deliveries that were settled
 */
export async function settleDeliveries(transaction: Db, results: readonly SettledDelivery[]): Promise<Set<string>> {
  const endpointIds = [...new Set(results.map(({ endpointId }) => endpointId))];
  await sql`
    select from public.moonpay_webhook_config
    where id = any (array(select jsonb_array_elements_text(${JSON.stringify(endpointIds)}::jsonb)::uuid))
    order by id for no key update
  `.execute(transaction);

  const rows = results.map((result) => ({
    delivery_id: result.deliveryId,
    lease_token: result.leaseToken,
    outcome: result.outcome,
    retry_in_ms: result.retryInMs ?? 0,
    started_at: result.startedAt,
    duration_ms: Math.round(result.durationMs),
    response_status: result.responseStatus,
    response_body: result.responseBody && Buffer.from(result.responseBody).toString('base64'),
    error_class: result.errorClass,
    error_message: result.errorMessage?.replaceAll('\0', ' ').slice(0, 1000),
  }));
  const { rows: settled } = await sql<{ id: string }>`
    with result as (
      select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (
        delivery_id uuid, lease_token uuid, outcome text, retry_in_ms double precision, started_at timestamptz,
        duration_ms integer, response_status integer, response_body text, error_class text, error_message text)
    ), settled as (
      update moonguard.deliveries d
      set status = case result.outcome when 'retry' then 'pending' else result.outcome end,
        next_attempt_at = now() + make_interval(secs => result.retry_in_ms / 1000),
        lease_token = null,
        attempts_count = d.attempts_count + 1,
        last_attempt_at = result.started_at,
        last_response_status = result.response_status,
        last_error_class = result.error_class,
        settled_at = case when result.outcome in ('delivered', 'exhausted') then now() end
      from result
      where d.id = result.delivery_id and d.lease_token = result.lease_token and d.status = 'pending'
      returning d.id, d.endpoint_id, d.attempts_count, result.*
    ), attempt as (
      insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome,
        response_status, response_body, error_class, error_message)
      select id, endpoint_id, attempts_count, started_at, duration_ms, outcome, response_status,
        decode(response_body, 'base64'), error_class, error_message
      from settled
    ), health as (
      select endpoint_id,
        count(*) as attempts,
        count(*) filter (where outcome = 'delivered') as successes,
        max(started_at) as last_attempt,
        max(started_at) filter (where outcome = 'delivered') as last_success,
        (array_agg(coalesce(error_message, error_class) order by started_at desc) filter (where outcome <> 'delivered'))[1] as last_failure
      from settled group by endpoint_id
    ), counted as (
      update public.moonpay_webhook_config c
      set delivery_attempts_count = c.delivery_attempts_count + health.attempts,
        successful_deliveries_count = c.successful_deliveries_count + health.successes,
        failed_deliveries_count = c.failed_deliveries_count + health.attempts - health.successes,
        last_delivery_attempt = greatest(c.last_delivery_attempt, health.last_attempt),
        last_successful_delivery = greatest(c.last_successful_delivery, health.last_success),
        last_failure_reason = coalesce(health.last_failure, c.last_failure_reason),
        consecutive_failures_count = case when health.successes = 0 then c.consecutive_failures_count else 0 end + (
          select count(*) from settled s
          where s.endpoint_id = c.id and s.outcome <> 'delivered' and (health.last_success is null or s.started_at > health.last_success))
      from health where c.id = health.endpoint_id
    )
    select id from settled
  `.execute(transaction);
  const settledIds = new Set(settled.map(({ id }) => id));
  const gone = results.filter(({ disablesEndpoint, deliveryId }) => disablesEndpoint && settledIds.has(deliveryId));
  if (gone.length > 0) {
    const goneIds = gone.map(({ endpointId }) => endpointId);
    await failEndpoints(transaction, goneIds, 'the receiver answered 410 Gone');
  }
  return settledIds;
}
