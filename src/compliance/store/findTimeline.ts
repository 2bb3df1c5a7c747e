import type { Db } from '../../database/database.ts';
import type { TimelineRow, TimelineWords } from '../timeline.ts';

/** The history of an alert, oldest first. */
export async function findTimeline(db: Db, alertRowId: string): Promise<TimelineRow[]> {
  return db
    .selectFrom('moonguard.alert_timeline')
    .selectAll()
    .$narrowType<TimelineWords>()
    .where('alert_id', '=', alertRowId)
    .orderBy('entry_number')
    .execute();
}
