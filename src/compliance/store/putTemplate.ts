import type { Db } from '../../database/database.ts';
import type { AlertTemplate } from '../settings.ts';

/** Adds the actions of a type, or replaces them. */
export async function putTemplate(transaction: Db, template: AlertTemplate): Promise<void> {
  const row = { alert_type: template.alertType, recommended_actions: [...template.recommendedActions] };
  await transaction
    .insertInto('moonguard.alert_templates')
    .values(row)
    .onConflict((conflict) => conflict.column('alert_type').doUpdateSet(row))
    .execute();
}
