import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Stops endpoints whose receiver said that they will not come back; what is pending for them is held. */
export async function failEndpoints(transaction: Db, endpointIds: readonly string[], reason: string): Promise<void> {
  await sql`
    update public.moonpay_webhook_config set status = 'failed', status_reason = ${reason}
    where id = any (array(select jsonb_array_elements_text(${JSON.stringify(endpointIds)}::jsonb)::uuid))
      and status in ('active', 'suspended')
  `.execute(transaction);
}
