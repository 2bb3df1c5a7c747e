import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** From now on these are worked on with the lead; null: each by itself again. Rows by their id. */
export async function mergeAlerts(transaction: Db, ids: readonly string[], lead: string | null): Promise<void> {
  await transaction
    .updateTable('moonpay_compliance_alerts')
    .set({ merged_into: lead })
    .where('id', 'in', ids)
    .where(sql<boolean>`merged_into is distinct from ${lead}::uuid`)
    .execute();
}
