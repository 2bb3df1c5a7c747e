import type { Db } from '../../database/database.ts';

/** Every value of these lists. */
export async function listPolicyListValues(
  db: Db,
  names: readonly string[],
): Promise<{ readonly list_name: string; readonly value: string }[]> {
  return db
    .selectFrom('moonguard.policy_list_values')
    .select(['list_name', 'value'])
    .where('list_name', 'in', names)
    .execute();
}
