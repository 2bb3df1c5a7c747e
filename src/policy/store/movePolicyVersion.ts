import type { Db } from '../../database/database.ts';
import type { PolicyVersionRow, VersionStatus } from '../policyVersion.ts';

/** What the move asks for, and what follows from it, is the database's. */
export async function movePolicyVersion(
  transaction: Db,
  id: string,
  move: { readonly status: VersionStatus; readonly note: string | null },
): Promise<PolicyVersionRow | undefined> {
  return transaction
    .updateTable('moonguard.policy_versions')
    .set(move)
    .where('id', '=', id)
    .returningAll()
    .$castTo<PolicyVersionRow>()
    .executeTakeFirst();
}
