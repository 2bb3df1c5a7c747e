import type { Db } from '../../database/database.ts';
import type { NewPolicyList } from '../policyList.ts';
import type { PolicyListRow } from './listPolicyLists.ts';

/** Undefined: there is one of this name. */
export async function insertPolicyList(transaction: Db, list: NewPolicyList): Promise<PolicyListRow | undefined> {
  return transaction
    .insertInto('moonguard.policy_lists')
    .values({ name: list.name, description: list.description ?? null, case_sensitive: list.isCaseSensitive })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returningAll()
    .executeTakeFirst();
}
