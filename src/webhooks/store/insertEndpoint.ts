import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { WebhookEndpoint } from '../endpoint.ts';
import type { NewEndpoint } from '../endpointInput.ts';
import { endpointColumns } from './endpointColumns.ts';

/** What is not given gets the table's default. */
export function insertEndpoint(db: Db, endpoint: Omit<NewEndpoint, 'secret'>): Promise<WebhookEndpoint> {
  const { retryPolicy, headers, deliverySettings, metadata, ...columns } = endpoint;
  return db
    .insertInto('moonpay_webhook_config')
    .values({
      ...columns,
      retry_policy: retryPolicy && JSON.stringify(retryPolicy),
      headers: headers && JSON.stringify(headers),
      delivery_settings: deliverySettings && JSON.stringify(deliverySettings),
      metadata: metadata && JSON.stringify(metadata),
      created_by: sql<string>`moonguard.current_actor()`,
    })
    .returning(endpointColumns)
    .executeTakeFirstOrThrow();
}
