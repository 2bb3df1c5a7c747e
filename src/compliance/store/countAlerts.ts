import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertCondition } from '../alertFilter.ts';
import { alertMatches } from './alertMatches.ts';

/** How many match; counting ends at `most`. */
export async function countAlerts(db: Db, conditions: readonly AlertCondition[], most: number): Promise<number> {
  const counted = db
    .selectFrom('moonpay_compliance_alerts')
    .select('id')
    .where(alertMatches(conditions))
    .limit(most)
    .as('counted');
  const { count } = await db.selectFrom(counted).select(sql<number>`count(*)`.as('count')).executeTakeFirstOrThrow();
  return count;
}
