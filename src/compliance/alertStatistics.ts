import { z } from 'zod';
import type { Db } from '../database/database.ts';
import { parseInput } from '../input/parseInput.ts';
import { type AlertStatus, isDecided, type Severity } from './alert.ts';
import { alertMetrics, alertMetricsBy, type PartMetrics } from './store/alertMetrics.ts';
import { alertTrend } from './store/alertTrend.ts';
import { type CountedKind, countKinds } from './store/countKinds.ts';

/** Alerts as they are now, without those that are worked on with another one. */
export interface AlertCounts {
  /** Without archived ones. */
  readonly byStatus: Readonly<Record<AlertStatus, BySeverity>>;
  /** Of the undecided ones. */
  readonly undecided: {
    readonly alerts: number;
    readonly unassigned: number;
    /** Overdue at some time. */
    readonly breached: number;
    /** Of the types that have any. */
    readonly byType: Readonly<Record<string, number>>;
  };
  readonly archived: number;
}

export type BySeverity = Readonly<Record<Severity, number>>;

/** Read from counters: the cost does not depend on how many alerts there are. */
export async function getCounts(db: Db): Promise<AlertCounts> {
  const kinds = await countKinds(db);
  const current = kinds.filter(({ isArchived }) => !isArchived);
  const undecided = current.filter(({ status }) => !isDecided(status));
  const ofStatus = (wanted: AlertStatus): BySeverity => severitiesOf(current.filter(({ status }) => status === wanted));
  return {
    byStatus: {
      open: ofStatus('open'),
      in_review: ofStatus('in_review'),
      escalated: ofStatus('escalated'),
      resolved: ofStatus('resolved'),
      dismissed: ofStatus('dismissed'),
    },
    undecided: {
      alerts: total(undecided),
      unassigned: total(undecided.filter(({ isAssigned }) => !isAssigned)),
      breached: total(undecided.filter(({ isBreached }) => isBreached)),
      byType: Object.fromEntries(
        [...Map.groupBy(undecided, ({ alertType }) => alertType)].map(([type, ofType]) => [type, total(ofType)]),
      ),
    },
    archived: total(kinds.filter(({ isArchived }) => isArchived)),
  };
}

const time = z.date().optional();

export const metricsWindowSchema = z.strictObject({
  /** Alerts that were triggered at this time or later. Default: 30 days before `until`. */
  since: time,
  /** Those before this time. Default: now. */
  until: time,
  /** The same for each part. A person's are those that he decided, and those undecided that he has. */
  by: z.enum(['type', 'severity', 'person']).optional(),
});
export type MetricsWindow = z.input<typeof metricsWindowSchema>;
export type MetricsPart = NonNullable<MetricsWindow['by']>;

/** How alerts of a window are worked on. All but the first three are about those that are neither suppressed nor merged. */
export interface AlertMetrics {
  readonly alerts: number;
  /** Dismissed by a suppression when they came. */
  readonly suppressed: number;
  /** Worked on with another one. */
  readonly merged: number;
  readonly decided: number;
  /** From when it was raised until somebody took it into review or decided it; null where nobody has. */
  readonly firstReviewMinutes: Spread;
  /** From when it was raised until it was decided. */
  readonly resolveMinutes: Spread;
  /** How many were overdue at some time, in percent with two digits; null without alerts. */
  readonly breachRate: number | null;
  /** How many of the decided ones were dismissed, in percent with two digits; null when none is decided. */
  readonly falsePositiveRate: number | null;
}

export interface Spread {
  readonly median: number | null;
  readonly p95: number | null;
}

export interface AlertMetricsReport extends AlertMetrics {
  /** Empty unless asked for; `name` null: nobody. */
  readonly parts: readonly PartMetrics[];
}

/** @throws MoonguardError alert_invalid */
export async function getMetrics(db: Db, window: MetricsWindow = {}): Promise<AlertMetricsReport> {
  const { by, ...bounds } = parseInput(metricsWindowSchema, window, 'alert_invalid');
  const parts = by === undefined ? [] : await alertMetricsBy(db, by, bounds);
  return { ...(await alertMetrics(db, bounds)), parts };
}

export const trendWindowSchema = metricsWindowSchema.omit({ by: true });
export type AlertTrendWindow = z.input<typeof trendWindowSchema>;

export interface AlertTrendDay {
  /** In UTC, as 2026-11-23. */
  readonly day: string;
  /** Triggered on this day. */
  readonly alerts: number;
  readonly bySeverity: BySeverity;
  /** Those of them that nobody has decided until now. */
  readonly undecided: number;
}

/**
 * Every day that the window touches, oldest first: the last 1500 of them when there are more.
 * @throws MoonguardError alert_invalid
 */
export async function getTrend(db: Db, window: AlertTrendWindow = {}): Promise<AlertTrendDay[]> {
  const days = await alertTrend(db, parseInput(trendWindowSchema, window, 'alert_invalid'));
  return days.map(({ bySeverity, ...day }) => ({
    ...day,
    bySeverity: { low: 0, medium: 0, high: 0, critical: 0, ...bySeverity },
  }));
}

function severitiesOf(kinds: readonly CountedKind[]): BySeverity {
  const of = (wanted: Severity): number => total(kinds.filter(({ severity }) => severity === wanted));
  return { low: of('low'), medium: of('medium'), high: of('high'), critical: of('critical') };
}

function total(kinds: readonly CountedKind[]): number {
  return kinds.reduce((sum, { alerts }) => sum + alerts, 0);
}
