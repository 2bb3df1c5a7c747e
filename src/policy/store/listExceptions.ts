import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { ExceptionFilter, ExceptionRow } from '../exception.ts';

export interface ExceptionQuery extends Omit<ExceptionFilter, 'cursor'> {
  /** The last one of the page before. */
  readonly after?: Position | undefined;
}

const isInForce = sql<boolean>`(ended_at is null and expires_at > clock_timestamp())`;

/** The newest first; at most `limit`. `position` is `granted_at` with all the digits of the database. */
export async function listExceptions(
  db: Db,
  query: ExceptionQuery,
): Promise<(ExceptionRow & { readonly position: string })[]> {
  const { policyId, customerId, entityType, entityId, after } = query;
  let exceptions = db
    .selectFrom('moonguard.policy_exceptions')
    .selectAll()
    .select(sql<string>`to_jsonb(granted_at) #>> '{}'`.as('position'));
  if (policyId !== undefined) exceptions = exceptions.where('policy_id', '=', policyId);
  if (customerId !== undefined) exceptions = exceptions.where('customer_id', '=', customerId);
  if (entityType !== undefined) exceptions = exceptions.where('entity_type', '=', entityType);
  if (entityId !== undefined) exceptions = exceptions.where('entity_id', '=', entityId);
  if (query.isInForce !== undefined) exceptions = exceptions.where(isInForce, '=', query.isInForce);
  if (after !== undefined) {
    exceptions = exceptions.where(sql<boolean>`(granted_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return exceptions.orderBy('granted_at', 'desc').orderBy('id', 'desc').limit(query.limit).execute();
}
