import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { identifier } from '../input/fields.ts';
import type { Page } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import { AlertDeadlines } from './AlertDeadlines.ts';
import { AlertQueues } from './AlertQueues.ts';
import { AlertSettings } from './AlertSettings.ts';
import { type Alert, type AlertStatus, type DecidedStatus, decodeAlert, isDecided } from './alert.ts';
import {
  type AlertWriteOptions,
  changeAlert,
  moveAlert,
  type PersonalWriteOptions,
  proposeDecision,
  relateAlerts,
  writeAlertsAtOnce,
} from './alertChange.ts';
import type { AlertFilterInput, CountFilterInput, SearchFilterInput } from './alertFilter.ts';
import { type NewAlertInput, newAlertSchema } from './alertInput.ts';
import { type AlertCount, countMatchingAlerts, listAlertPage, searchAlertPage } from './alertLists.ts';
import { alertNamed } from './alertNamed.ts';
import {
  type AlertCounts,
  type AlertMetricsReport,
  type AlertTrendDay,
  type AlertTrendWindow,
  type BySeverity,
  getCounts,
  getMetrics,
  getTrend,
  type MetricsWindow,
} from './alertStatistics.ts';
import { type BulkResult, bulk } from './bulk.ts';
import { type AttachmentInput, addComment, attach } from './comments.ts';
import { type AlertGroup, type AlertGroupPage, getGroup, listGroups, mergeAlerts, unmergeAlert } from './groups.ts';
import { type AlertHit, listHits } from './hits.ts';
import { SuppressionService } from './SuppressionService.ts';
import { findTimeline } from './store/findTimeline.ts';
import { linkAlerts } from './store/linkAlerts.ts';
import { raiseAlert } from './store/raiseAlert.ts';
import { unlinkAlerts } from './store/unlinkAlerts.ts';
import { decodeTimelineEntry, type TimelineEntry } from './timeline.ts';

export interface AlertStats {
  /** Alerts in status open. */
  readonly openBySeverity: BySeverity;
}

/**
 * Compliance alerts and their workflow. An `alertId` is the row's id or its alert_id. The database enforces the workflow
 * and keeps the timeline; every method that takes an id throws `alert_not_found` where there is none.
 */
export class ComplianceService {
  /** Who works on alerts, and the queues that hand them out. */
  readonly queues: AlertQueues;
  /** Known findings that are dismissed as they come. */
  readonly suppressions: SuppressionService;
  /** How alerts are worked on. */
  readonly settings: AlertSettings;
  /** By when, and on which days nobody works. */
  readonly deadlines: AlertDeadlines;
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
    this.queues = new AlertQueues({ database });
    this.suppressions = new SuppressionService({ database });
    this.settings = new AlertSettings({ database });
    this.deadlines = new AlertDeadlines({ database });
  }

  /**
   * Raises an alert. While an alert with the same `dedupeKey` is not decided, it is that one which is returned, with one
   * more occurrence, and its severity, score and level where these are worse.
   * @throws MoonguardError alert_invalid
   */
  async createAlert(input: NewAlertInput, options: WriteOptions = {}): Promise<Alert> {
    const alert = parseInput(newAlertSchema, input, 'alert_invalid');
    const row = await writeAlertsAtOnce(this.#database, options, (transaction, actor) =>
      raiseAlert(transaction, alert, actor),
    );
    return decodeAlert(row);
  }

  async getAlert(alertId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Alert> {
    return decodeAlert(await alertNamed(transaction, alertId));
  }

  /**
   * The newest first, or those that are due next; without archived and merged alerts unless asked for.
   * @throws MoonguardError alert_invalid
   */
  async listAlerts(
    filter: AlertFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<Alert>> {
    return listAlertPage(transaction, filter);
  }

  /**
   * The newest first: alerts with all of these words, or words that begin with them, in title, description or notes. Upper
   * and lower case are the same, and signs only separate words.
   * @throws MoonguardError alert_invalid
   */
  async searchAlerts(
    searched: string,
    filter: SearchFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<Alert>> {
    return searchAlertPage(transaction, searched, filter);
  }

  /**
   * How many there are in such a list, up to 10,000.
   * @throws MoonguardError alert_invalid
   */
  async countAlerts(
    filter: CountFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<AlertCount> {
    return countMatchingAlerts(transaction, filter);
  }

  /**
   * Moves an alert. `notes` are kept as the notes of a decision, else as the reason of the move.
   * @throws MoonguardError alert_move_not_allowed, alert_resolution_incomplete, alert_second_person_needed, alert_duplicate,
   * alert_merged, alert_version_stale, alert_actor_missing, alert_invalid
   */
  async updateAlertStatus(
    alertId: string,
    status: AlertStatus,
    notes?: string,
    options: AlertWriteOptions = {},
  ): Promise<Alert> {
    return moveAlert(
      this.#database,
      alertId,
      isDecided(status) ? { status, notes } : { status, reason: notes },
      options,
    );
  }

  /** Takes it into review by the actor. Throws as `updateAlertStatus`. */
  async startReview(alertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return moveAlert(this.#database, alertId, { status: 'in_review' }, options);
  }

  /** Passes it on to somebody who may decide more. Throws as `updateAlertStatus`. */
  async escalate(
    alertId: string,
    { to, reason }: { readonly to?: string; readonly reason?: string } = {},
    options: AlertWriteOptions = {},
  ): Promise<Alert> {
    return moveAlert(this.#database, alertId, { status: 'escalated', escalatedTo: to, reason }, options);
  }

  /**
   * Proposes a decision that another person then takes; needed under four-eyes. It lapses when the alert gets another hit,
   * another severity or another status.
   * @throws MoonguardError alert_move_not_allowed, alert_resolution_incomplete, alert_merged, alert_version_stale,
   * alert_actor_missing, alert_invalid
   */
  async proposeDecision(
    alertId: string,
    status: DecidedStatus,
    notes: string,
    options: AlertWriteOptions = {},
  ): Promise<Alert> {
    return proposeDecision(this.#database, alertId, { status, notes }, options);
  }

  /** Decides that there was something and it is settled. Without notes it has those of its proposal. Throws as `updateAlertStatus`. */
  async resolve(alertId: string, notes?: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return moveAlert(this.#database, alertId, { status: 'resolved', notes }, options);
  }

  /** Decides that there was nothing. Without notes it has those of its proposal. Throws as `updateAlertStatus`. */
  async dismiss(alertId: string, notes?: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return moveAlert(this.#database, alertId, { status: 'dismissed', notes }, options);
  }

  /** Makes a decided alert open again. Throws as `updateAlertStatus`. */
  async reopen(alertId: string, reason: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return moveAlert(this.#database, alertId, { status: 'open', reason }, options);
  }

  /**
   * Gives it to somebody, or to nobody with null.
   * @throws MoonguardError alert_assignee_unknown, alert_version_stale, alert_actor_missing, alert_invalid
   */
  async assign(alertId: string, assignee: string | null, options: AlertWriteOptions = {}): Promise<Alert> {
    const { assignedTo } = parseInput(
      z.object({ assignedTo: identifier.nullable() }),
      { assignedTo: assignee },
      'alert_invalid',
    );
    return changeAlert(this.#database, alertId, options, () => ({ assigned_to: assignedTo }));
  }

  /**
   * Hands it over to a queue, or with null to the one that takes its type and severity. Nobody has it then: who had it in
   * review no longer has, and an open one is given out as the queue does.
   * @throws MoonguardError queue_not_found, alert_merged, alert_version_stale, alert_actor_missing, alert_invalid
   */
  async transfer(alertId: string, queue: string | null, options: AlertWriteOptions = {}): Promise<Alert> {
    const given = parseInput(z.object({ queue: identifier.nullable() }), { queue }, 'alert_invalid');
    return changeAlert(this.#database, alertId, options, ({ status }) => ({
      queue: given.queue,
      assigned_to: null,
      ...(status === 'in_review' && { status: 'open' }),
    }));
  }

  /**
   * Does the same to up to 500 alerts, each by itself: one that is refused leaves the others done. `work` calls one of the
   * methods above.
   * @throws MoonguardError alert_invalid
   */
  async bulk(alertIds: readonly string[], work: (alertId: string) => Promise<Alert>): Promise<BulkResult[]> {
    return bulk(alertIds, work);
  }

  /**
   * Adds a comment to the timeline; the alert itself stays as it is. `mentions` are ids of people it speaks to.
   * @throws MoonguardError alert_actor_missing, alert_version_stale, alert_invalid
   */
  async comment(
    alertId: string,
    comment: string,
    { mentions, ...options }: PersonalWriteOptions & { readonly mentions?: readonly string[] | undefined },
  ): Promise<TimelineEntry> {
    return addComment(this.#database, alertId, { text: comment, mentions }, options);
  }

  /**
   * Adds a reference to a document to the timeline, with its hash; the document itself is kept elsewhere.
   * @throws MoonguardError alert_actor_missing, alert_version_stale, alert_invalid
   */
  async attach(alertId: string, document: AttachmentInput, options: PersonalWriteOptions): Promise<TimelineEntry> {
    return attach(this.#database, alertId, document, options);
  }

  /**
   * Notes on both alerts that they are about the same matter.
   * @throws MoonguardError alert_version_stale, alert_actor_missing, alert_invalid
   */
  async link(alertId: string, otherAlertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return relateAlerts(this.#database, [alertId, otherAlertId], options, linkAlerts);
  }

  /** Takes that back. Throws as `link`. */
  async unlink(alertId: string, otherAlertId: string, options: AlertWriteOptions = {}): Promise<Alert> {
    return relateAlerts(this.#database, [alertId, otherAlertId], options, unlinkAlerts);
  }

  /** The alerts of its group, itself among them, the newest first; at most 500. */
  async getGroup(alertId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Alert[]> {
    return getGroup(transaction, alertId);
  }

  /**
   * Groups of several alerts of which somebody must still decide one, by the newest undecided alert in them.
   * @throws MoonguardError alert_invalid
   */
  async listGroups(
    page: AlertGroupPage = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<AlertGroup>> {
    return listGroups(transaction, page);
  }

  /**
   * Makes undecided alerts one piece of work: `others` follow `into` from now on. Returns `into`, as bad as the worst.
   * @throws MoonguardError alert_merged, alert_actor_missing, alert_invalid
   */
  async merge(into: string, others: readonly string[], options: WriteOptions = {}): Promise<Alert> {
    return mergeAlerts(this.#database, into, others, options);
  }

  /** Makes a merged alert a piece of work by itself again, in the status that it has. */
  async unmerge(alertId: string, options: WriteOptions = {}): Promise<Alert> {
    return unmergeAlert(this.#database, alertId, options);
  }

  /** The findings that it stands for, the newest first; at most 200. */
  async listHits(alertId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<AlertHit[]> {
    const { id } = await alertNamed(transaction, alertId);
    return listHits(transaction, id);
  }

  /** Every change of the alert and every comment, oldest first. */
  async getTimeline(alertId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<TimelineEntry[]> {
    const { id } = await alertNamed(transaction, alertId);
    return (await findTimeline(transaction, id)).map(decodeTimelineEntry);
  }

  async getStats({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertStats> {
    return { openBySeverity: (await getCounts(transaction)).byStatus.open };
  }

  /** How many alerts there are now, for a dashboard. */
  async getCounts({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertCounts> {
    return getCounts(transaction);
  }

  /**
   * How alerts are worked on: volume, times, breaches and false positives, of all and of each type, severity or person.
   * @throws MoonguardError alert_invalid
   */
  async getMetrics(
    window: MetricsWindow = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<AlertMetricsReport> {
    return getMetrics(transaction, window);
  }

  /**
   * How many alerts came on each day.
   * @throws MoonguardError alert_invalid
   */
  async getTrend(
    window: AlertTrendWindow = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<AlertTrendDay[]> {
    return getTrend(transaction, window);
  }
}
