import { type RawBuilder, sql } from 'kysely';
import type { EndpointWindow } from '../statistics.ts';

/** Ids of the endpoints that statistics are about, as a list for `in`. */
export function endpointsIn({ endpointId }: EndpointWindow): RawBuilder<unknown> {
  return endpointId === undefined
    ? sql`(select id from public.moonpay_webhook_config where deleted_at is null)`
    : sql`(${endpointId}::uuid)`;
}

/** The attempts of a window, as a table. */
export function attemptsIn(window: EndpointWindow): RawBuilder<unknown> {
  return sql`(
    select outcome = 'delivered' as is_delivered, duration_ms, error_class, started_at
    from moonguard.delivery_attempts
    where endpoint_id in ${endpointsIn(window)}
      and started_at >= coalesce(${window.since}::timestamptz, '-infinity')
      and started_at < coalesce(${window.until}::timestamptz, 'infinity'))`;
}
