import type { Db } from '../../database/database.ts';
import type { AlertRow, AlertWords } from '../alert.ts';
import { isAlert } from './isAlert.ts';

export async function findAlert(db: Db, alertId: string): Promise<AlertRow | undefined> {
  return db
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .where(isAlert(alertId))
    .executeTakeFirst();
}
