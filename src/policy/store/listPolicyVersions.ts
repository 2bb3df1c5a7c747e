import type { Db } from '../../database/database.ts';
import type { PolicyVersionRow } from '../policyVersion.ts';

/** The newest first. */
export async function listPolicyVersions(db: Db, policyId: string): Promise<PolicyVersionRow[]> {
  return db
    .selectFrom('moonguard.policy_versions')
    .selectAll()
    .$castTo<PolicyVersionRow>()
    .where('policy_id', '=', policyId)
    .orderBy('version', 'desc')
    .execute();
}
