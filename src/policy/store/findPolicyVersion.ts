import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyVersionRow, VersionStatus } from '../policyVersion.ts';

/** One version by its number, or the newest in the first of these statuses that any has. */
export async function findPolicyVersion(
  db: Db,
  policyId: string,
  wanted: number | readonly VersionStatus[],
): Promise<PolicyVersionRow | undefined> {
  const versions = db
    .selectFrom('moonguard.policy_versions')
    .selectAll()
    .$castTo<PolicyVersionRow>()
    .where('policy_id', '=', policyId);
  if (typeof wanted === 'number') return versions.where('version', '=', wanted).executeTakeFirst();
  return versions
    .where('status', 'in', wanted)
    .orderBy(sql`array_position(${[...wanted]}::text[], status)`)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}
