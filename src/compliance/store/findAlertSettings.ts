import type { Selectable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardAlertSettings } from '../../database/schema.generated.ts';

export type AlertSettingsRow = Selectable<MoonguardAlertSettings>;

/** The one row; none to whoever may not see it. */
export async function findAlertSettings(db: Db): Promise<AlertSettingsRow | undefined> {
  return db.selectFrom('moonguard.alert_settings').selectAll().executeTakeFirst();
}
