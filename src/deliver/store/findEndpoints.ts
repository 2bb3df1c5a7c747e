import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { DeliverySettings } from '../../webhooks/deliverySettings.ts';
import type { RetryPolicy } from '../../webhooks/retryPolicy.ts';

/** What a worker needs to know of an endpoint. The database has checked and completed the settings. */
export interface DeliveryEndpoint {
  readonly id: string;
  /** False once somebody stopped it, or it failed for good: nothing is sent to it any more. */
  readonly takes_deliveries: boolean;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly retry_policy: RetryPolicy;
  readonly delivery_settings: DeliverySettings;
}

export async function findEndpoints(db: Db, ids: readonly string[]): Promise<Map<string, DeliveryEndpoint>> {
  const { rows } = await sql<DeliveryEndpoint>`
    select id, status in ('active', 'suspended') as takes_deliveries, url, headers, retry_policy, delivery_settings from public.moonpay_webhook_config
    where id = any (array(select jsonb_array_elements_text(${JSON.stringify(ids)}::jsonb)::uuid))
  `.execute(db);
  return new Map(rows.map((row) => [row.id, row]));
}
