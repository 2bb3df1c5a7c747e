import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Alert } from '../alert.ts';
import type { TimelineRow, TimelineWords } from '../timeline.ts';

/** Belongs inside `asActor`. */
export async function insertComment(
  transaction: Db,
  alert: Pick<Alert, 'id' | 'version'>,
  comment: string,
): Promise<TimelineRow> {
  return transaction
    .insertInto('moonguard.alert_timeline')
    .values({
      alert_id: alert.id,
      alert_version: alert.version,
      actor: sql<string>`moonguard.current_actor()`,
      action: 'commented',
      reason: comment,
      before: sql<string>`'{}'::jsonb`,
      after: sql<string>`'{}'::jsonb`,
    })
    .returningAll()
    .$narrowType<TimelineWords>()
    .executeTakeFirstOrThrow();
}
