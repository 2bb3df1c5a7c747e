import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database } from '../database/database.ts';
import { identifier, text } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { lockAlert, type PersonalWriteOptions, personOf, writeAlerts } from './alertChange.ts';
import { insertTimelineEntry, type NewTimelineEntry } from './store/insertTimelineEntry.ts';
import { attachmentSchema, decodeTimelineEntry, type TimelineEntry } from './timeline.ts';

const commentSchema = z.strictObject({
  text,
  /** Ids of the people that it speaks to; one that is named twice counts once. */
  mentions: z
    .array(identifier)
    .max(100)
    .default([])
    .transform((people) => [...new Set(people)]),
});
export interface CommentInput {
  readonly text: string;
  readonly mentions?: readonly string[] | undefined;
}
export type AttachmentInput = z.input<typeof attachmentSchema>;

/** Adds a comment to the timeline; the alert itself stays as it is. */
export async function addComment(
  database: Database,
  alertId: string,
  comment: CommentInput,
  options: PersonalWriteOptions,
): Promise<TimelineEntry> {
  const { text: reason, mentions } = parseInput(commentSchema, comment, 'alert_invalid');
  return add(database, alertId, { action: 'commented', reason, mentions }, options);
}

/** Adds a reference to a document to the timeline; the alert itself stays as it is. */
export async function attach(
  database: Database,
  alertId: string,
  document: AttachmentInput,
  options: PersonalWriteOptions,
): Promise<TimelineEntry> {
  const attachment = parseInput(attachmentSchema, document, 'alert_invalid');
  return add(database, alertId, { action: 'attached', attachment }, options);
}

async function add(
  database: Database,
  alertId: string,
  entry: NewTimelineEntry,
  options: PersonalWriteOptions,
): Promise<TimelineEntry> {
  const person = personOf(options);
  const row = await writeAlerts(database, options, async (transaction) => {
    const { id } = await lockAlert(transaction, alertId, options);
    return asActor(transaction, person, () => insertTimelineEntry(transaction, id, entry));
  });
  return decodeTimelineEntry(row);
}
