import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertDeadline } from '../deadline.ts';

/** The worst severity first. */
export async function listDeadlines(db: Db): Promise<AlertDeadline[]> {
  return db
    .selectFrom('moonguard.alert_deadlines')
    .select([
      'severity',
      'minutes',
      'in_business_hours as inBusinessHours',
      'warn_before_minutes as warnBeforeMinutes',
      'escalate_to as escalateTo',
    ])
    .orderBy(sql`array_position('{critical,high,medium,low}', severity)`)
    .$castTo<AlertDeadline>()
    .execute();
}
