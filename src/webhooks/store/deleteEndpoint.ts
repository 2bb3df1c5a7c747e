import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { WebhookEndpoint } from '../endpoint.ts';
import { endpointColumns } from './endpointColumns.ts';
import { endpointNamed } from './endpointNamed.ts';

/** Keeps the row for the history of its deliveries; its URL is free again. */
export function deleteEndpoint(db: Db, webhookId: string): Promise<WebhookEndpoint | undefined> {
  return db
    .updateTable('moonpay_webhook_config')
    .set({ deleted_at: sql`now()`, status: 'inactive', status_reason: 'deleted' })
    .where(endpointNamed(webhookId))
    .where('deleted_at', 'is', null)
    .returning(endpointColumns)
    .executeTakeFirst();
}
