import type { Db } from '../../database/database.ts';

export interface PolicySettingsRow {
  readonly four_eyes: boolean;
  readonly approval_hours: number;
}

export async function findPolicySettings(db: Db): Promise<PolicySettingsRow | undefined> {
  return db.selectFrom('moonguard.policy_settings').select(['four_eyes', 'approval_hours']).executeTakeFirst();
}
