import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertCondition } from '../alertFilter.ts';
import { alertMatches } from './alertMatches.ts';

/**
 * How many match; counting ends at `most`. In the order of the list: whatever comes first in the table may be what was
 * archived long ago, which nobody asks for.
 */
export async function countAlerts(db: Db, conditions: readonly AlertCondition[], most: number): Promise<number> {
  const counted = db
    .selectFrom('moonpay_compliance_alerts')
    .select('id')
    .where(alertMatches(conditions))
    .orderBy('triggered_at', 'desc')
    .orderBy('id', 'desc')
    .limit(most)
    .as('counted');
  const { count } = await db.selectFrom(counted).select(sql<number>`count(*)`.as('count')).executeTakeFirstOrThrow();
  return count;
}
