import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { SuppressionFilter, SuppressionRow, SuppressionState } from '../suppression.ts';

export interface SuppressionQuery extends Omit<SuppressionFilter, 'cursor'> {
  readonly id?: string | undefined;
  /** The last one of the page before. */
  readonly after?: Position | undefined;
}

/** `position` is `created_at` with all the digits of the database. */
export type ListedSuppressionRow = SuppressionRow & { readonly position: string };

// One that is past its time does nothing, also before the schedule ends it.
const state = sql<SuppressionState>`case when ended_at is not null or expires_at <= clock_timestamp() then 'ended'
  when approved_at is null then 'requested' else 'in_force' end`;

/** The newest first; at most `limit`. */
export async function listSuppressions(db: Db, query: SuppressionQuery): Promise<ListedSuppressionRow[]> {
  const { id, customerId, alertType, after } = query;
  let suppressions = db
    .selectFrom('moonguard.alert_suppressions')
    .selectAll()
    .select([state.as('state'), sql<string>`to_jsonb(created_at) #>> '{}'`.as('position')]);
  if (id !== undefined) suppressions = suppressions.where('id', '=', id);
  if (customerId !== undefined) suppressions = suppressions.where('customer_id', '=', customerId);
  if (alertType !== undefined) suppressions = suppressions.where('alert_type', '=', alertType);
  if (query.state !== undefined) suppressions = suppressions.where(state, '=', query.state);
  if (after !== undefined) {
    suppressions = suppressions.where(sql<boolean>`(created_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return suppressions.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(query.limit).execute();
}
