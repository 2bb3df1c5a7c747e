import type { Db } from '../../database/database.ts';
import type { PolicySettingsRow } from './findPolicySettings.ts';

/** What is undefined stays. */
export async function updatePolicySettings(
  transaction: Db,
  change: { [Name in keyof PolicySettingsRow]: PolicySettingsRow[Name] | undefined },
): Promise<PolicySettingsRow | undefined> {
  return transaction
    .updateTable('moonguard.policy_settings')
    .set(change)
    .returning(['four_eyes', 'approval_hours'])
    .executeTakeFirst();
}
