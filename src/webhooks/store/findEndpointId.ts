import type { Db } from '../../database/database.ts';
import { endpointNamed } from './endpointNamed.ts';

/** Id of the endpoint with this id or webhook_id, deleted or not: its history stays. */
export async function findEndpointId(db: Db, webhookId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('moonpay_webhook_config')
    .select('id')
    .where(endpointNamed(webhookId))
    .executeTakeFirst();
  return row?.id;
}
