import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** One row of get_moonpay_webhook_stats(): endpoints that were not deleted, and what is open. */
export interface WebhookStats {
  readonly totalWebhooks: number;
  readonly activeWebhooks: number;
  readonly failedWebhooks: number;
  readonly inactiveWebhooks: number;
  readonly suspendedWebhooks: number;
  /** Mean of the endpoints that were tried, in percent; null when none was. */
  readonly avgSuccessRate: number | null;
  readonly totalAttempts: number;
  readonly successfulAttempts: number;
  readonly failedAttempts: number;
  readonly pendingDeliveries: number;
  readonly heldDeliveries: number;
  readonly exhaustedDeliveries: number;
  readonly lastDeliveryAttempt: Date | null;
}

export function webhookStats(db: Db): Promise<WebhookStats> {
  const stats = sql<WebhookStats>`(
    select total_webhooks as "totalWebhooks", active_webhooks as "activeWebhooks", failed_webhooks as "failedWebhooks",
      inactive_webhooks as "inactiveWebhooks", suspended_webhooks as "suspendedWebhooks",
      avg_success_rate::double precision as "avgSuccessRate", total_attempts as "totalAttempts",
      successful_attempts as "successfulAttempts", failed_attempts as "failedAttempts",
      pending_deliveries as "pendingDeliveries", held_deliveries as "heldDeliveries",
      exhausted_deliveries as "exhaustedDeliveries", last_delivery_attempt as "lastDeliveryAttempt"
    from public.get_moonpay_webhook_stats())`;
  return db.selectFrom(stats.as('stats')).selectAll().executeTakeFirstOrThrow();
}
