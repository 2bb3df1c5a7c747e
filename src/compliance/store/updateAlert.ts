import type { Updateable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonpayComplianceAlerts } from '../../database/schema.generated.ts';
import type { AlertRow, AlertWords } from '../alert.ts';

/** What people change of an alert; everything else follows from it in the database. */
export type AlertChange = Pick<
  Updateable<MoonpayComplianceAlerts>,
  | 'status'
  | 'status_reason'
  | 'resolution_notes'
  | 'assigned_to'
  | 'queue'
  | 'escalated_to'
  | 'proposed_status'
  | 'proposed_notes'
>;

export async function updateAlert(transaction: Db, id: string, change: AlertChange): Promise<AlertRow> {
  return transaction
    .updateTable('moonpay_compliance_alerts')
    .set(change)
    .where('id', '=', id)
    .returningAll()
    .$narrowType<AlertWords>()
    .executeTakeFirstOrThrow();
}
