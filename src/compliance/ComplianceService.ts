import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier, text } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { type Alert, type AlertRow, type AlertStatus, decodeAlert, isDecided, type Severity } from './alert.ts';
import { alertWriteError } from './alertErrors.ts';
import {
  type AlertFilterInput,
  alertFilterSchema,
  alertMoveSchema,
  type NewAlert,
  type NewAlertInput,
  newAlertSchema,
} from './alertInput.ts';
import { countOpenAlerts } from './store/countOpenAlerts.ts';
import { findAlert } from './store/findAlert.ts';
import { findTimeline } from './store/findTimeline.ts';
import { insertAlert } from './store/insertAlert.ts';
import { insertComment } from './store/insertComment.ts';
import { type AlertPair, linkAlerts } from './store/linkAlerts.ts';
import { listAlerts } from './store/listAlerts.ts';
import { lockAlerts } from './store/lockAlerts.ts';
import { unlinkAlerts } from './store/unlinkAlerts.ts';
import { type AlertChange, updateAlert } from './store/updateAlert.ts';
import { decodeTimelineEntry, type TimelineEntry } from './timeline.ts';
import { refusalOfMove } from './workflow.ts';

export interface AlertWriteOptions extends WriteOptions {
  /** Refuse with `alert_version_stale` when the alert has another version by now. */
  readonly expectedVersion?: number | undefined;
}

export interface AlertStats {
  /** Alerts in status open. */
  readonly openBySeverity: Readonly<Record<Severity, number>>;
}

/**
 * Compliance alerts and their workflow. An `alertId` is the row's id or its alert_id. The database enforces the workflow
 * and keeps the timeline; every method that takes an id throws `alert_not_found` where there is none.
 */
export class ComplianceService {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /**
   * Raises an alert. While an alert with the same `dedupeKey` is not decided, it is that one which is returned, with one
   * more occurrence, and its severity, score and level where these are worse.
   * @throws MoonguardError alert_invalid
   */
  async createAlert(input: NewAlertInput, options: WriteOptions = {}): Promise<Alert> {
    const alert = withEntity(parseInput(newAlertSchema, input, 'alert_invalid'));
    const row = await this.#write(options, (transaction, actor) =>
      asActor(transaction, actor, () => insertAlert(transaction, alert)),
    );
    return decodeAlert(row);
  }

  async getAlert(alertId: string, options: ReadOptions = {}): Promise<Alert> {
    return decodeAlert(await this.#find(alertId, options));
  }

  /**
   * The newest first, without archived alerts unless asked for.
   * @throws MoonguardError alert_invalid
   */
  async listAlerts(filter: AlertFilterInput = {}, options: ReadOptions = {}): Promise<Page<Alert>> {
    return this.#list(filter, options);
  }

  /**
   * Like `listAlerts`, only alerts with this text in title, description or notes; upper and lower case are the same.
   * @throws MoonguardError alert_invalid
   */
  async searchAlerts(searched: string, filter: AlertFilterInput = {}, options: ReadOptions = {}): Promise<Page<Alert>> {
    return this.#list(filter, options, parseInput(z.object({ text }), { text: searched }, 'alert_invalid').text);
  }

  /**
   * Moves an alert. `notes` are kept as the notes of a decision, else as the reason of the move.
   * @throws MoonguardError alert_move_not_allowed, alert_resolution_incomplete, alert_version_stale, alert_invalid
   */
  async updateAlertStatus(
    alertId: string,
    status: AlertStatus,
    notes?: string,
    options: AlertWriteOptions = {},
  ): Promise<Alert> {
    return this.#move(alertId, isDecided(status) ? { status, notes } : { status, reason: notes }, options);
  }

  /** Takes it into review by the actor. Throws as `updateAlertStatus`. */
  async startReview(alertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#move(alertId, { status: 'in_review' }, options);
  }

  /** Passes it on to somebody who may decide more. Throws as `updateAlertStatus`. */
  async escalate(
    alertId: string,
    { to, reason }: { readonly to?: string; readonly reason?: string } = {},
    options: AlertWriteOptions = {},
  ): Promise<Alert> {
    return this.#move(alertId, { status: 'escalated', escalatedTo: to, reason }, options);
  }

  /** Decides that there was something and it is settled. Throws as `updateAlertStatus`. */
  async resolve(alertId: string, notes: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#move(alertId, { status: 'resolved', notes }, options);
  }

  /** Decides that there was nothing. Throws as `updateAlertStatus`. */
  async dismiss(alertId: string, notes: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#move(alertId, { status: 'dismissed', notes }, options);
  }

  /** Makes a decided alert open again. Throws as `updateAlertStatus`. */
  async reopen(alertId: string, reason: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#move(alertId, { status: 'open', reason }, options);
  }

  /**
   * Gives it to somebody, or to nobody with null.
   * @throws MoonguardError alert_version_stale, alert_invalid
   */
  async assign(alertId: string, assignee: string | null, options: AlertWriteOptions = {}): Promise<Alert> {
    const { assignedTo } = parseInput(
      z.object({ assignedTo: identifier.nullable() }),
      { assignedTo: assignee },
      'alert_invalid',
    );
    return this.#change(alertId, options, () => ({ assigned_to: assignedTo }));
  }

  /**
   * Adds a comment to the timeline; the alert itself stays as it is. Somebody must be named as the actor.
   * @throws MoonguardError alert_version_stale, alert_invalid
   */
  async comment(
    alertId: string,
    comment: string,
    options: AlertWriteOptions & { readonly actor: string },
  ): Promise<TimelineEntry> {
    const words = parseInput(
      z.object({ actor: identifier, text }),
      { actor: options.actor, text: comment },
      'alert_invalid',
    );
    const entry = await this.#write(options, async (transaction, actor) => {
      const alert = await lock(transaction, alertId, options);
      return asActor(transaction, actor, () => insertComment(transaction, alert, words.text));
    });
    return decodeTimelineEntry(entry);
  }

  /**
   * Notes on both alerts that they are about the same matter.
   * @throws MoonguardError alert_version_stale, alert_invalid
   */
  async link(alertId: string, otherAlertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#relate(alertId, otherAlertId, options, linkAlerts);
  }

  /** Takes that back. Throws as `link`. */
  async unlink(alertId: string, otherAlertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return this.#relate(alertId, otherAlertId, options, unlinkAlerts);
  }

  /** Every change of the alert and every comment, oldest first. */
  async getTimeline(alertId: string, options: ReadOptions = {}): Promise<TimelineEntry[]> {
    const { id } = await this.#find(alertId, options);
    return (await findTimeline(options.transaction ?? this.#database.db, id)).map(decodeTimelineEntry);
  }

  async getStats({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertStats> {
    const counts = new Map((await countOpenAlerts(transaction)).map(({ severity, count }) => [severity, count]));
    const count = (severity: Severity): number => counts.get(severity) ?? 0;
    return {
      openBySeverity: { low: count('low'), medium: count('medium'), high: count('high'), critical: count('critical') },
    };
  }

  async #find(alertId: string, { transaction = this.#database.db }: ReadOptions): Promise<AlertRow> {
    const alert = isIdentifier(alertId) ? await findAlert(transaction, alertId) : undefined;
    return alert ?? notFound();
  }

  async #list(
    input: AlertFilterInput,
    { transaction = this.#database.db }: ReadOptions,
    searched?: string,
  ): Promise<Page<Alert>> {
    const { cursor, ...filter } = parseInput(alertFilterSchema, input, 'alert_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'alert_invalid');
    const rows = await listAlerts(transaction, { ...filter, limit: filter.limit + 1, text: searched, after });
    return pageOf(rows, filter.limit, decodeAlert);
  }

  async #move(alertId: string, input: z.input<typeof alertMoveSchema>, options: AlertWriteOptions): Promise<Alert> {
    const { status, notes, reason, escalatedTo } = parseInput(alertMoveSchema, input, 'alert_invalid');
    return this.#change(alertId, options, (alert) => {
      const refusal = refusalOfMove(alert.status, status, isDecided(status) ? notes : reason);
      if (refusal !== undefined) throw refusal;
      return {
        status,
        status_reason: reason ?? null,
        ...(isDecided(status) && { resolution_notes: notes ?? null }),
        ...(status === 'escalated' && { escalated_to: escalatedTo ?? null }),
      };
    });
  }

  async #change(alertId: string, options: AlertWriteOptions, change: (alert: Alert) => AlertChange): Promise<Alert> {
    const row = await this.#write(options, async (transaction, actor) => {
      const alert = await lock(transaction, alertId, options);
      const changed = change(alert);
      return asActor(transaction, actor, () => updateAlert(transaction, alert.id, changed));
    });
    return decodeAlert(row);
  }

  async #relate(
    alertId: string,
    otherAlertId: string,
    options: AlertWriteOptions,
    relate: (transaction: Db, pair: AlertPair) => Promise<void>,
  ): Promise<Alert> {
    const row = await this.#write(options, async (transaction, actor) => {
      const pair = await lockPair(transaction, alertId, otherAlertId, options);
      await asActor(transaction, actor, () => relate(transaction, pair));
      return findAlert(transaction, pair[0]);
    });
    return row === undefined ? notFound() : decodeAlert(row);
  }

  async #write<T>(options: WriteOptions, work: (transaction: Db, actor: string) => Promise<T>): Promise<T> {
    const { actor } = parseInput(writerSchema, { actor: options.actor }, 'alert_invalid');
    try {
      return await this.#database.transaction((transaction) => work(transaction, actor), options.transaction);
    } catch (error) {
      throw alertWriteError(error);
    }
  }
}

const writerSchema = z.object({ actor: identifier.default(SYSTEM_ACTOR) });

/** What an alert is about when nobody said: the transaction, or else the customer. */
function withEntity(alert: NewAlert): NewAlert {
  if (alert.entityType !== undefined || alert.entityId !== undefined) return alert;
  if (alert.transactionId !== undefined) return { ...alert, entityType: 'transaction', entityId: alert.transactionId };
  if (alert.customerId !== undefined) return { ...alert, entityType: 'customer', entityId: alert.customerId };
  return alert;
}

async function lock(transaction: Db, alertId: string, options: AlertWriteOptions): Promise<Alert> {
  const [row] = isIdentifier(alertId) ? await lockAlerts(transaction, [alertId]) : [];
  const alert = row === undefined ? notFound() : decodeAlert(row);
  refuseStale(alert, options);
  return alert;
}

async function lockPair(
  transaction: Db,
  alertId: string,
  otherAlertId: string,
  options: AlertWriteOptions,
): Promise<AlertPair> {
  const ids = [alertId, otherAlertId];
  const rows = ids.every(isIdentifier) ? await lockAlerts(transaction, ids) : [];
  const [alert, other] = ids.map((id) => rows.find((row) => row.id === id || row.alert_id === id) ?? notFound());
  if (alert === undefined || other === undefined) return notFound();
  if (alert.id === other.id) {
    const message = 'must be another alert';
    throw inputError('alert_invalid', [{ code: 'not_allowed', field: 'otherAlertId', message }]);
  }
  refuseStale(alert, options);
  return [alert.id, other.id];
}

function refuseStale({ version }: Pick<Alert, 'version'>, { expectedVersion }: AlertWriteOptions): void {
  if (expectedVersion !== undefined && expectedVersion !== version) {
    throw new MoonguardError('alert_version_stale', `The alert has version ${version} by now, not ${expectedVersion}.`);
  }
}

const isIdentifier = (alertId: string): boolean => identifier.safeParse(alertId).success;

function notFound(): never {
  throw new MoonguardError('alert_not_found', 'There is no alert with this id.');
}
