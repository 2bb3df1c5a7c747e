import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * `stopped`: its endpoint is inactive, failed or deleted. `in_flight`: a worker has it at this moment. `body_removed`:
 * retention left nothing to send.
 */
export type RetryOutcome = 'retried' | 'in_flight' | 'stopped' | 'body_removed';

/**
 * Makes a delivery due now, whatever became of it before. A held one goes on where it was stopped. Any other is sent once,
 * outside its schedule: when that fails, everything is as it was. Undefined when there is no such delivery.
 * Whoever settles or stops an endpoint waits for us or we for them, endpoint first, so what is decided here holds.
 */
export async function retryDelivery(transaction: Db, deliveryId: string): Promise<RetryOutcome | undefined> {
  const { rows: found } = await sql<{ is_stopped: boolean; has_body: boolean }>`
    select c.deleted_at is not null or c.status not in ('active', 'suspended') as is_stopped, e.raw_body is not null as has_body
    from moonguard.deliveries d
    join public.moonpay_webhook_events e on e.id = d.event_id
    join public.moonpay_webhook_config c on c.id = d.endpoint_id
    where d.id = ${deliveryId}
    for no key update of c
  `.execute(transaction);
  const [delivery] = found;
  if (delivery === undefined) return undefined;
  if (delivery.is_stopped) return 'stopped';
  if (!delivery.has_body) return 'body_removed';

  const { rows: retried } = await sql`
    with retried as (
      update moonguard.deliveries
      set status = 'pending',
        next_attempt_at = now(),
        resend_from = case when status <> 'held' then coalesce(resend_from, status) end,
        resend_next_attempt_at = case when status <> 'held' then coalesce(resend_next_attempt_at, next_attempt_at) end,
        leased_until = null,
        lease_token = null
      where id = ${deliveryId} and (leased_until is null or leased_until <= now())
      returning id
    )
    select pg_notify('moonguard_deliveries', '') from retried
  `.execute(transaction);
  return retried.length > 0 ? 'retried' : 'in_flight';
}
