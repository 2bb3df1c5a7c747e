import type { Db } from '../../database/database.ts';
import type { EndpointStatus, WebhookEndpoint } from '../endpoint.ts';
import { endpointColumns } from './endpointColumns.ts';
import { endpointNamed } from './endpointNamed.ts';

/** Triggers do the rest: is_active follows, and the pending deliveries of an endpoint that stops are held. */
export function setEndpointStatus(
  db: Db,
  webhookId: string,
  status: EndpointStatus,
  reason: string | null,
): Promise<WebhookEndpoint | undefined> {
  return db
    .updateTable('moonpay_webhook_config')
    .set({ status, status_reason: reason })
    .where(endpointNamed(webhookId))
    .where('deleted_at', 'is', null)
    .returning(endpointColumns)
    .executeTakeFirst();
}
