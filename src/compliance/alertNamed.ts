import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import type { AlertRow } from './alert.ts';
import { findAlert } from './store/findAlert.ts';
import { lockAlerts } from './store/lockAlerts.ts';

/**
 * The alert with this id or alert_id.
 * @throws MoonguardError alert_not_found
 */
export async function alertNamed(db: Db, alertId: string): Promise<AlertRow> {
  return (isIdentifier(alertId) ? await findAlert(db, alertId) : undefined) ?? notFound();
}

/**
 * The alerts with these ids or alert_ids, in the same order; nobody else changes them until the transaction ends.
 * @throws MoonguardError alert_not_found
 */
export async function lockAlertsNamed(transaction: Db, alertIds: readonly string[]): Promise<AlertRow[]> {
  const rows = alertIds.every(isIdentifier) ? await lockAlerts(transaction, alertIds) : [];
  return alertIds.map(
    (alertId) => rows.find(({ id, alert_id }) => id === alertId || alert_id === alertId) ?? notFound(),
  );
}

const isIdentifier = (alertId: string): boolean => identifier.safeParse(alertId).success;

function notFound(): never {
  throw new MoonguardError('alert_not_found', 'There is no alert with this id.');
}
