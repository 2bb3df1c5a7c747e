import type { Db } from '../../database/database.ts';

export async function deletePolicyList(transaction: Db, name: string): Promise<void> {
  await transaction.deleteFrom('moonguard.policy_lists').where('name', '=', name).execute();
}
