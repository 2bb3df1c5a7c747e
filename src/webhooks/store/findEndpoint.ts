import type { Db } from '../../database/database.ts';
import type { WebhookEndpoint } from '../endpoint.ts';
import { endpointColumns } from './endpointColumns.ts';
import { endpointNamed } from './endpointNamed.ts';

/** The endpoint with this id or webhook_id, unless it was deleted. */
export function findEndpoint(db: Db, webhookId: string): Promise<WebhookEndpoint | undefined> {
  return selectEndpoint(db, webhookId).executeTakeFirst();
}

/**
 * The same, locked until the end of the transaction: nobody else changes or stops it. New deliveries may refer to it
 * all the while. Whoever locks deliveries too locks their endpoint first.
 */
export function lockEndpoint(transaction: Db, webhookId: string): Promise<WebhookEndpoint | undefined> {
  return selectEndpoint(transaction, webhookId).forNoKeyUpdate().executeTakeFirst();
}

function selectEndpoint(db: Db, webhookId: string) {
  return db
    .selectFrom('moonpay_webhook_config')
    .select(endpointColumns)
    .where(endpointNamed(webhookId))
    .where('deleted_at', 'is', null);
}
