import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { NewPolicy, PolicyRow, PolicyWords } from '../policy.ts';

export async function insertPolicy(transaction: Db, policy: NewPolicy): Promise<PolicyRow> {
  return transaction
    .insertInto('moonpay_policies')
    .values({
      external_policy_id: policy.policyId ?? null,
      name: policy.name,
      type: policy.type,
      rules: sql<string>`${JSON.stringify(policy.rules)}::jsonb`,
      is_active: policy.isActive,
    })
    .returningAll()
    .$narrowType<PolicyWords>()
    .executeTakeFirstOrThrow();
}
