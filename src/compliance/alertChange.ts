import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { MoonguardError } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { type Alert, decodeAlert, isDecided } from './alert.ts';
import { alertWriteError } from './alertErrors.ts';
import { alertMoveSchema, alertProposalSchema } from './alertInput.ts';
import { alertNamed, lockAlertsNamed } from './alertNamed.ts';
import type { AlertPair } from './store/linkAlerts.ts';
import { type AlertChange, updateAlert } from './store/updateAlert.ts';
import { refusalOfMove } from './workflow.ts';

export interface AlertWriteOptions extends WriteOptions {
  /** Refuse with `alert_version_stale` when the alert has another version by now. */
  readonly expectedVersion?: number | undefined;
}

/** Of what only a person does: nobody acts by default. */
export interface PersonalWriteOptions extends AlertWriteOptions {
  readonly actor: string;
}

type Write<T> = (transaction: Db, actor: string) => Promise<T>;

/** Runs `work` in a transaction. One that the caller gave survives a refusal. */
export async function writeAlerts<T>(database: Database, options: WriteOptions, work: Write<T>): Promise<T> {
  return write(options, work, (actor) => database.transaction((transaction) => work(transaction, actor)));
}

/** As `writeAlerts` where `work` is a single statement, which needs no begin and commit: two round trips less. */
export async function writeAlertsAtOnce<T>(database: Database, options: WriteOptions, work: Write<T>): Promise<T> {
  return write(options, work, (actor) => work(database.db, actor));
}

async function write<T>(options: WriteOptions, work: Write<T>, alone: (actor: string) => Promise<T>): Promise<T> {
  const actor = options.actor === undefined ? SYSTEM_ACTOR : personOf(options);
  const { transaction: within } = options;
  try {
    return within === undefined ? await alone(actor) : await inSavepoint(within, () => work(within, actor));
  } catch (error) {
    throw alertWriteError(error);
  }
}

/** Writes `change` of the alert, which is locked. It may throw a refusal. */
export async function changeAlert(
  database: Database,
  alertId: string,
  options: AlertWriteOptions,
  change: (alert: Alert) => AlertChange,
): Promise<Alert> {
  return writeAlerts(database, options, async (transaction, actor) => {
    const alert = await lockAlert(transaction, alertId, options);
    const changed = change(alert);
    return decodeAlert(await asActor(transaction, actor, () => updateAlert(transaction, alert.id, changed)));
  });
}

export async function moveAlert(
  database: Database,
  alertId: string,
  input: z.input<typeof alertMoveSchema>,
  options: AlertWriteOptions,
): Promise<Alert> {
  const { status, notes, reason, escalatedTo } = parseInput(alertMoveSchema, input, 'alert_invalid');
  return changeAlert(database, alertId, options, (alert) => {
    // A decision that was proposed needs no further notes.
    const proposed = alert.proposedStatus === status ? (alert.proposedNotes ?? undefined) : undefined;
    const refusal = refusalOfMove(alert.status, status, isDecided(status) ? (notes ?? proposed) : reason);
    if (refusal !== undefined) throw refusal;
    return {
      status,
      status_reason: reason ?? null,
      ...(isDecided(status) && { resolution_notes: notes ?? null }),
      ...(status === 'escalated' && { escalated_to: escalatedTo ?? null }),
    };
  });
}

export async function proposeDecision(
  database: Database,
  alertId: string,
  input: z.input<typeof alertProposalSchema>,
  options: AlertWriteOptions,
): Promise<Alert> {
  const { status, notes } = parseInput(alertProposalSchema, input, 'alert_invalid');
  return changeAlert(database, alertId, { ...options, actor: personOf(options) }, (alert) => {
    const refusal = refusalOfMove(alert.status, status, notes);
    if (refusal !== undefined) throw refusal;
    return { proposed_status: status, proposed_notes: notes ?? null };
  });
}

/** Writes on both alerts what `relate` does with them, and returns the first. */
export async function relateAlerts(
  database: Database,
  [alertId, otherAlertId]: AlertPair,
  options: AlertWriteOptions,
  relate: (transaction: Db, pair: AlertPair) => Promise<void>,
): Promise<Alert> {
  return writeAlerts(database, options, async (transaction, actor) => {
    const [one, other] = (await lockAlertsNamed(transaction, [alertId, otherAlertId])).map(decodeAlert);
    if (one === undefined || other === undefined || one.id === other.id) {
      const message = 'must be another alert';
      throw inputError('alert_invalid', [{ code: 'not_allowed', field: 'otherAlertId', message }]);
    }
    refuseStale(one, options);
    await asActor(transaction, actor, () => relate(transaction, [one.id, other.id]));
    return decodeAlert(await alertNamed(transaction, one.id));
  });
}

/** The alert as it is until the transaction ends. */
export async function lockAlert(transaction: Db, alertId: string, options: AlertWriteOptions): Promise<Alert> {
  const [row] = await lockAlertsNamed(transaction, [alertId]);
  if (row === undefined) throw new Error('lockAlertsNamed returned no row');
  const alert = decodeAlert(row);
  refuseStale(alert, options);
  return alert;
}

/**
 * Who acts, where it must be somebody.
 * @throws MoonguardError alert_actor_missing, alert_invalid
 */
export function personOf({ actor }: WriteOptions): string {
  if (actor === undefined || actor.trim() === '') {
    throw inputError('alert_actor_missing', [{ code: 'required', field: 'actor', message: 'say who acts' }]);
  }
  return parseInput(z.object({ actor: identifier }), { actor }, 'alert_invalid').actor;
}

function refuseStale({ version }: Pick<Alert, 'version'>, { expectedVersion }: AlertWriteOptions): void {
  if (expectedVersion !== undefined && expectedVersion !== version) {
    throw new MoonguardError('alert_version_stale', `The alert has version ${version} by now, not ${expectedVersion}.`);
  }
}
