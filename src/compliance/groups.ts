import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { identifier, pageFields } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import type { WriteOptions } from '../input/writeOptions.ts';
import { type Alert, decodeAlert, type Severity } from './alert.ts';
import { writeAlerts } from './alertChange.ts';
import { alertNamed, lockAlertsNamed } from './alertNamed.ts';
import { findGroup } from './store/findGroup.ts';
import { type GroupRow, listGroups as listGroupRows } from './store/listGroups.ts';
import { mergeAlerts as mergeAlertRows } from './store/mergeAlerts.ts';

/** Alerts about one matter: of the same customer, wallet, transaction or correlation id, or linked by hand. */
export interface AlertGroup {
  /** The id of its first alert. */
  readonly id: string;
  readonly alerts: number;
  readonly undecided: number;
  readonly worstSeverity: Severity;
  readonly customerIds: readonly string[];
  /** When the newest undecided alert in it was triggered. */
  readonly newestAt: Date;
}

/** More than anybody works through at once; a group has no end. */
const MOST_OF_A_GROUP = 500;

/**
 * The alerts of the group that the alert is in, itself among them, the newest first; at most 500.
 * @throws MoonguardError alert_not_found
 */
export async function getGroup(db: Db, alertId: string): Promise<Alert[]> {
  const { id, group_id } = await alertNamed(db, alertId);
  return (await findGroup(db, group_id ?? id, MOST_OF_A_GROUP)).map(decodeAlert);
}

const groupPageSchema = z.strictObject(pageFields);
export type AlertGroupPage = z.input<typeof groupPageSchema>;

/**
 * Groups of several alerts of which somebody must still decide one, by the newest undecided alert in them.
 * @throws MoonguardError alert_invalid
 */
export async function listGroups(db: Db, input: AlertGroupPage = {}): Promise<Page<AlertGroup>> {
  const { limit, cursor } = parseInput(groupPageSchema, input, 'alert_invalid');
  const after = cursor === undefined ? undefined : readCursor(cursor, 'alert_invalid');
  return pageOf(await listGroupRows(db, { limit: limit + 1, after }), limit, decodeGroup);
}

/**
 * Makes alerts one piece of work: `others` get the status, the decision and the person of `into` whenever it does, and
 * cannot be moved by themselves. Returns `into`, as bad as the worst of them. Nobody has decided any of them so far.
 * @throws MoonguardError alert_not_found, alert_merged, alert_invalid
 */
export async function mergeAlerts(
  database: Database,
  into: string,
  others: readonly string[],
  options: WriteOptions = {},
): Promise<Alert> {
  const given = parseInput(mergeSchema, { others }, 'alert_invalid');
  return writeAlerts(database, options, async (transaction, actor) => {
    const [lead, ...merged] = await lockAlertsNamed(transaction, [into, ...given.others]);
    if (lead === undefined || merged.some(({ id }) => id === lead.id)) {
      const message = 'must be other alerts';
      throw inputError('alert_invalid', [{ code: 'not_allowed', field: 'others', message }]);
    }
    const ids = merged.map(({ id }) => id);
    await asActor(transaction, actor, () => mergeAlertRows(transaction, ids, lead.id));
    return decodeAlert(await alertNamed(transaction, lead.id));
  });
}

/**
 * Makes a merged alert a piece of work by itself again, in the status that it has. Changes nothing where it is one.
 * @throws MoonguardError alert_not_found
 */
export async function unmergeAlert(database: Database, alertId: string, options: WriteOptions = {}): Promise<Alert> {
  return writeAlerts(database, options, async (transaction, actor) => {
    const ids = (await lockAlertsNamed(transaction, [alertId])).map(({ id }) => id);
    await asActor(transaction, actor, () => mergeAlertRows(transaction, ids, null));
    return decodeAlert(await alertNamed(transaction, alertId));
  });
}

const mergeSchema = z.object({ others: z.array(identifier).min(1).max(MOST_OF_A_GROUP) });

function decodeGroup(row: GroupRow): AlertGroup {
  return {
    id: row.id,
    alerts: row.alerts,
    undecided: row.undecided,
    worstSeverity: row.worst_severity,
    customerIds: row.customer_ids,
    newestAt: row.newest_at,
  };
}
