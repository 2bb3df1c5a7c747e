import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Json, MoonguardAlertTimeline } from '../database/schema.generated.ts';
import { identifier } from '../input/fields.ts';
import type { AlertStatus } from './alert.ts';

export const timelineActions = [
  'created',
  'moved',
  'changed',
  'hit',
  'commented',
  'attached',
  'warned',
  'breached',
] as const;
export type TimelineAction = (typeof timelineActions)[number];

/** The database holds attachments to the same shape (alert_timeline_attachment_check). */
export const attachmentSchema = z.strictObject({
  name: identifier,
  uri: z
    .string()
    .max(2000)
    .regex(/^[a-z][a-z0-9+.-]*:\S+$/, { error: 'must be a URI' }),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hex digits' }),
  bytes: z.int().min(0),
});
/** Names a document that is kept elsewhere, and proves which one it was. */
export type Attachment = Readonly<z.output<typeof attachmentSchema>>;

/** One step in the history of an alert. */
export interface TimelineEntry {
  readonly id: string;
  /** Row id of the alert. */
  readonly alertId: string;
  /** Version of the alert that the step led to; for a comment the one it was about. */
  readonly alertVersion: number;
  readonly at: Date;
  readonly actor: string;
  readonly action: TimelineAction;
  readonly fromStatus: AlertStatus | null;
  readonly toStatus: AlertStatus | null;
  /** Why it was moved, or the comment. */
  readonly reason: string | null;
  /** The columns that changed, as they were; empty for a new alert and for a comment. */
  readonly before: Json;
  /** The columns that changed, as they became; the whole row for a new alert. */
  readonly after: Json;
  /** Order of the entries of an alert. */
  readonly entryNumber: number;
  /** Ids of the people that a comment speaks to. */
  readonly mentions: readonly string[];
  /** A reference to a document kept elsewhere. */
  readonly attachment: Attachment | null;
}

/** Columns that constraints hold to a closed list, for a query's `$narrowType`. */
export interface TimelineWords {
  action: TimelineAction;
  from_status: AlertStatus | null;
  to_status: AlertStatus | null;
}

export type TimelineRow = Omit<Selectable<MoonguardAlertTimeline>, keyof TimelineWords> & TimelineWords;

/** The row as the rest of the program sees it. */
export function decodeTimelineEntry(row: TimelineRow): TimelineEntry {
  return {
    id: row.id,
    alertId: row.alert_id,
    alertVersion: row.alert_version,
    at: row.at,
    actor: row.actor,
    action: row.action,
    fromStatus: row.from_status,
    toStatus: row.to_status,
    reason: row.reason,
    before: row.before,
    after: row.after,
    entryNumber: row.entry_number,
    mentions: row.mentions,
    attachment: attachmentSchema.nullable().parse(row.attachment),
  };
}
