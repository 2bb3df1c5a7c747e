import type { Db } from '../../database/database.ts';
import type { NewHold } from '../hold.ts';

/** Returns the id. Who sets it is whom the transaction names. */
export async function insertHold(transaction: Db, hold: NewHold): Promise<string> {
  const { id } = await transaction
    .insertInto('moonguard.legal_holds')
    .values({
      reason: hold.reason,
      customer_id: hold.customerId ?? null,
      transaction_id: hold.transactionId ?? null,
      policy_id: hold.policyId ?? null,
      correlation_id: hold.correlationId ?? null,
      executed_from: hold.from ?? null,
      executed_to: hold.to ?? null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}
