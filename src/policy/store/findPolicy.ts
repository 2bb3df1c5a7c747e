import type { Db } from '../../database/database.ts';
import { rowNamed } from '../../database/rowNamed.ts';
import type { PolicyRow, PolicyWords } from '../policy.ts';

export async function findPolicy(db: Db, policyId: string): Promise<PolicyRow | undefined> {
  return select(db, policyId).executeTakeFirst();
}

/** The policy as it is until the transaction ends: nobody else can change it. */
export async function lockPolicy(transaction: Db, policyId: string): Promise<PolicyRow | undefined> {
  return select(transaction, policyId).forUpdate().executeTakeFirst();
}

function select(db: Db, policyId: string) {
  return db
    .selectFrom('moonpay_policies')
    .selectAll()
    .$narrowType<PolicyWords>()
    .where(rowNamed('external_policy_id', policyId));
}
