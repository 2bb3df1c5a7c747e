import type { Db } from '../../database/database.ts';
import type { ExceptionRow, NewException } from '../exception.ts';

/** Who grants it, and from when, the database writes. */
export async function insertException(transaction: Db, given: NewException): Promise<ExceptionRow> {
  return transaction
    .insertInto('moonguard.policy_exceptions')
    .values({
      policy_id: given.policyId,
      rule_id: given.ruleId ?? null,
      environment: given.environment ?? null,
      customer_id: given.customerId ?? null,
      entity_type: given.entityType ?? null,
      entity_id: given.entityId ?? null,
      reason: given.reason,
      expires_at: given.expiresAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}
