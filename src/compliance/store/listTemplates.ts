import type { Db } from '../../database/database.ts';
import type { AlertTemplate } from '../settings.ts';

/** By type. */
export async function listTemplates(db: Db): Promise<AlertTemplate[]> {
  return db
    .selectFrom('moonguard.alert_templates')
    .select(['alert_type as alertType', 'recommended_actions as recommendedActions'])
    .orderBy('alert_type')
    .$castTo<AlertTemplate>()
    .execute();
}
