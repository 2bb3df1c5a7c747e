import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** `stopped`: its endpoint is inactive, failed or deleted. `in_flight`: a worker has it at this moment. */
export type RetryOutcome = 'retried' | 'in_flight' | 'stopped';

/**
 * Makes a delivery due now, whatever became of it before. A held one goes on where it was stopped. Any other is sent once,
 * outside its schedule: when that fails, everything is as it was. Undefined when there is no such delivery.
 * Whoever settles or stops an endpoint waits for us or we for them, endpoint first, so what is decided here holds.
 */
export async function retryDelivery(transaction: Db, deliveryId: string): Promise<RetryOutcome | undefined> {
  const { rows: endpoints } = await sql<{ is_stopped: boolean }>`
    select deleted_at is not null or status not in ('active', 'suspended') as is_stopped
    from public.moonpay_webhook_config
    where id = (select endpoint_id from moonguard.deliveries where id = ${deliveryId})
    for no key update
  `.execute(transaction);
  const [endpoint] = endpoints;
  if (endpoint === undefined) return undefined;
  if (endpoint.is_stopped) return 'stopped';

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
