import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyVersionRow } from '../policyVersion.ts';
import type { SavedDocument } from './savePolicyDraft.ts';

/** Version 1, active at once; undefined where the policy has or had a version. */
export async function installPolicyVersion(
  transaction: Db,
  { document, hash, note }: SavedDocument,
): Promise<PolicyVersionRow | undefined> {
  // The lock first: of several processes that start at once the later ones then see the version of the first.
  await sql`select from moonguard.policy_revision for update`.execute(transaction);
  return transaction
    .insertInto('moonguard.policy_versions')
    .columns(['policy_id', 'status', 'document', 'hash', 'note'])
    .expression(
      sql`select ${document.id}, 'active', ${JSON.stringify(document)}::jsonb, ${hash}, ${note ?? null}::text
        where not exists (select from moonguard.policy_versions where policy_id = ${document.id})`,
    )
    .returningAll()
    .$castTo<PolicyVersionRow>()
    .executeTakeFirst();
}
