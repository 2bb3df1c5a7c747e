import type { Selectable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardPolicyLists } from '../../database/schema.generated.ts';

export type PolicyListRow = Selectable<MoonguardPolicyLists>;

/** All of them, by name: a company has tens. */
export async function listPolicyLists(db: Db): Promise<PolicyListRow[]> {
  return db.selectFrom('moonguard.policy_lists').selectAll().orderBy('name').execute();
}
