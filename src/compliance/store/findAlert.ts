import type { Db } from '../../database/database.ts';
import { rowNamed } from '../../database/rowNamed.ts';
import type { AlertRow, AlertWords } from '../alert.ts';

export async function findAlert(db: Db, alertId: string): Promise<AlertRow | undefined> {
  return db
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .where(rowNamed('alert_id', alertId))
    .executeTakeFirst();
}
