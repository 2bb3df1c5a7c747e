import type { Db } from '../../database/database.ts';

/** Another one than before: a version, a list, or whether a policy is on has changed. */
export async function findPolicyRevision(db: Db): Promise<number> {
  const { revision } = await db.selectFrom('moonguard.policy_revision').select('revision').executeTakeFirstOrThrow();
  return revision;
}
