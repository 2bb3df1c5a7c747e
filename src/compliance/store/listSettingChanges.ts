import type { Db } from '../../database/database.ts';
import type { SettingChange } from '../settings.ts';

/** The newest first; at most `limit`. */
export async function listSettingChanges(db: Db, limit: number): Promise<SettingChange[]> {
  return db
    .selectFrom('moonguard.alert_setting_changes')
    .select(['at', 'actor', 'before', 'after'])
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
}
