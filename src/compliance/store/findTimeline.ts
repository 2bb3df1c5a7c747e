import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { TimelineRow, TimelineWords } from '../timeline.ts';

/** The history of an alert, oldest first. Comments on a version come after the change that made it. */
export async function findTimeline(db: Db, alertRowId: string): Promise<TimelineRow[]> {
  return db
    .selectFrom('moonguard.alert_timeline')
    .selectAll()
    .$narrowType<TimelineWords>()
    .where('alert_id', '=', alertRowId)
    .orderBy('alert_version')
    .orderBy(sql`action = 'commented'`)
    .orderBy('at')
    .orderBy('id')
    .execute();
}
