import type { Updateable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardAlertSettings } from '../../database/schema.generated.ts';
import type { AlertSettingsRow } from './findAlertSettings.ts';

/** The settings as they are then; undefined for whoever may not change them. Belongs inside `asActor`. */
export async function updateAlertSettings(
  transaction: Db,
  changes: Updateable<MoonguardAlertSettings>,
): Promise<AlertSettingsRow | undefined> {
  return transaction.updateTable('moonguard.alert_settings').set(changes).returningAll().executeTakeFirst();
}
