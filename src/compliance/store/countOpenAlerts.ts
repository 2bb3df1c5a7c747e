import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Alerts in status open, by severity. */
export async function countOpenAlerts(db: Db): Promise<{ severity: string; count: number }[]> {
  return db
    .selectFrom('moonpay_compliance_alerts')
    .select(['severity', sql<number>`count(*)`.as('count')])
    .where('status', '=', sql.lit('open'))
    .groupBy('severity')
    .execute();
}
