import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Attachment, TimelineRow } from '../timeline.ts';

export type NewTimelineEntry =
  | { readonly action: 'commented'; readonly reason: string; readonly mentions: readonly string[] }
  | { readonly action: 'attached'; readonly attachment: Attachment };

/** What a person adds; who it was and which version it is about the database finds. Belongs inside `asActor`. */
export async function insertTimelineEntry(
  transaction: Db,
  alertRowId: string,
  entry: NewTimelineEntry,
): Promise<TimelineRow> {
  const reason = entry.action === 'commented' ? entry.reason : null;
  const mentions = entry.action === 'commented' ? entry.mentions : [];
  const attachment = entry.action === 'attached' ? JSON.stringify(entry.attachment) : null;
  const { rows } = await sql<TimelineRow>`
    insert into moonguard.alert_timeline (alert_id, action, reason, mentions, attachment)
    values (${alertRowId}, ${entry.action}, ${reason}, ${mentions}, ${attachment}::jsonb) returning *
  `.execute(transaction);
  const [row] = rows;
  if (row === undefined) throw new Error('the insert returned no row');
  return row;
}
