import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import { z } from 'zod';
import type { DB } from '../../database/schema.generated.ts';

const uuid = z.guid();

/** Condition for the endpoint with this id or webhook_id. */
export function endpointNamed(webhookId: string) {
  return (eb: ExpressionBuilder<DB, 'moonpay_webhook_config'>): Expression<SqlBool> => {
    // No webhook_id holds a NUL, and PostgreSQL takes none in a parameter.
    const byName = eb('webhook_id', '=', webhookId.replaceAll('\0', '\ufffd'));
    return uuid.safeParse(webhookId).success ? eb.or([byName, eb('id', '=', webhookId)]) : byName;
  };
}
