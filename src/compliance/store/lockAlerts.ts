import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { rowNamed } from '../../database/rowNamed.ts';
import type { AlertRow, AlertWords } from '../alert.ts';

/**
 * The alerts as they are until the transaction ends: nobody else can change them. Locked in the order of their id, so that
 * two transactions that want the same alerts never wait for each other. Hits and comments, which refer to it, go on.
 */
export async function lockAlerts(transaction: Db, alertIds: readonly string[]): Promise<AlertRow[]> {
  return transaction
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .where(
      sql<boolean>`${sql.join(
        alertIds.map((alertId) => rowNamed('alert_id', alertId)),
        sql` or `,
      )}`,
    )
    .orderBy('id')
    .forNoKeyUpdate()
    .execute();
}
