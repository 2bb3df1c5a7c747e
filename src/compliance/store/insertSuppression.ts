import type { Db } from '../../database/database.ts';
import type { NewSuppression } from '../suppression.ts';

/** Returns the id. */
export async function insertSuppression(transaction: Db, given: NewSuppression, requestedBy: string): Promise<string> {
  const { id } = await transaction
    .insertInto('moonguard.alert_suppressions')
    .values({
      customer_id: given.customerId,
      alert_type: given.alertType,
      fingerprint: given.fingerprint ?? null,
      reason: given.reason,
      requested_by: requestedBy,
      expires_at: given.expiresAt,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}
