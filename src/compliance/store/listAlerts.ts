import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { AlertRow, AlertWords } from '../alert.ts';
import type { AlertFilter } from '../alertInput.ts';

export interface AlertQuery extends Omit<AlertFilter, 'cursor'> {
  /** Words that title, description or notes hold. */
  readonly text?: string | undefined;
  /** The last alert of the page before. */
  readonly after?: Position | undefined;
}

/** `position` is `triggered_at` with all its digits: a Date has only milliseconds. */
export type ListedAlertRow = AlertRow & { readonly position: string };

/** The newest first; at most `limit`. */
export async function listAlerts(db: Db, query: AlertQuery): Promise<ListedAlertRow[]> {
  const { status, severity, alertType, customerId, transactionId, assignedTo, text, after } = query;
  let alerts = db
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .select(sql<string>`to_jsonb(triggered_at) #>> '{}'`.as('position'))
    .where('archived_at', query.archived ? 'is not' : 'is', null);
  if (status !== undefined) alerts = alerts.where('status', 'in', status);
  if (severity !== undefined) alerts = alerts.where('severity', 'in', severity);
  if (alertType !== undefined) alerts = alerts.where('alert_type', 'in', alertType);
  if (customerId !== undefined) alerts = alerts.where('customer_id', '=', customerId);
  if (transactionId !== undefined) alerts = alerts.where('transaction_id', '=', transactionId);
  if (assignedTo === null) alerts = alerts.where('assigned_to', 'is', null);
  else if (assignedTo !== undefined) alerts = alerts.where('assigned_to', '=', assignedTo);
  if (text !== undefined) {
    const pattern = `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
    alerts = alerts.where(
      sql<boolean>`(title ilike ${pattern} or description ilike ${pattern} or resolution_notes ilike ${pattern})`,
    );
  }
  if (after !== undefined) {
    alerts = alerts.where(sql<boolean>`(triggered_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return alerts.orderBy('triggered_at', 'desc').orderBy('id', 'desc').limit(query.limit).execute();
}
