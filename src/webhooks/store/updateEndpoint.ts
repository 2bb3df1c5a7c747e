import type { Db } from '../../database/database.ts';
import type { WebhookEndpoint } from '../endpoint.ts';
import type { EndpointChanges } from '../endpointInput.ts';
import { endpointColumns } from './endpointColumns.ts';

/** Columns for which no change is given stay as they are. */
export function updateEndpoint(
  db: Db,
  endpoint: WebhookEndpoint,
  { url = endpoint.url, ...changes }: EndpointChanges,
): Promise<WebhookEndpoint> {
  const { retryPolicy, headers, deliverySettings, metadata, ...columns } = changes;
  return db
    .updateTable('moonpay_webhook_config')
    .set({
      ...columns,
      url,
      retry_policy: retryPolicy && JSON.stringify(retryPolicy),
      headers: headers && JSON.stringify(headers),
      delivery_settings: deliverySettings && JSON.stringify(deliverySettings),
      metadata: metadata && JSON.stringify(metadata),
    })
    .where('id', '=', endpoint.id)
    .returning(endpointColumns)
    .executeTakeFirstOrThrow();
}
