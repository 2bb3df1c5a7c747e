import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { endpointNamed } from './endpointNamed.ts';

/**
 * Moves the counters of an endpoint by one attempt.
 * @param failure why it failed; undefined when it succeeded
 * @returns false when there is no such endpoint
 */
export async function countDeliveryAttempt(db: Db, webhookId: string, failure: string | undefined): Promise<boolean> {
  const outcome =
    failure === undefined
      ? {
          successful_deliveries_count: sql<number>`successful_deliveries_count + 1`,
          consecutive_failures_count: 0,
          last_successful_delivery: sql<Date>`now()`,
        }
      : {
          failed_deliveries_count: sql<number>`failed_deliveries_count + 1`,
          consecutive_failures_count: sql<number>`consecutive_failures_count + 1`,
          last_failure_reason: failure,
        };
  const { numUpdatedRows } = await db
    .updateTable('moonpay_webhook_config')
    .set({
      ...outcome,
      delivery_attempts_count: sql<number>`delivery_attempts_count + 1`,
      last_delivery_attempt: sql<Date>`now()`,
    })
    .where(endpointNamed(webhookId))
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}
