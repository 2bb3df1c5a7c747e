import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { ApprovalFilter, ApprovalRow } from '../approval.ts';

export interface ApprovalQuery extends Omit<ApprovalFilter, 'cursor'> {
  readonly id?: string | undefined;
  /** The last one of the page before. */
  readonly after?: Position | undefined;
}

/** The newest first; at most `limit`. `position` is `requested_at` with all the digits of the database. */
export async function listApprovals(
  db: Db,
  query: ApprovalQuery,
): Promise<(ApprovalRow & { readonly position: string })[]> {
  const { id, status, policyId, customerId, entityType, entityId, correlationId, after } = query;
  let approvals = db
    .selectFrom('moonguard.policy_approvals')
    .selectAll()
    .select(sql<string>`to_jsonb(requested_at) #>> '{}'`.as('position'));
  if (id !== undefined) approvals = approvals.where('id', '=', id);
  if (status !== undefined) approvals = approvals.where('status', 'in', status);
  if (policyId !== undefined) approvals = approvals.where('policy_id', '=', policyId);
  if (customerId !== undefined) approvals = approvals.where('customer_id', '=', customerId);
  if (entityType !== undefined) approvals = approvals.where('entity_type', '=', entityType);
  if (entityId !== undefined) approvals = approvals.where('entity_id', '=', entityId);
  if (correlationId !== undefined) approvals = approvals.where('correlation_id', '=', correlationId);
  if (after !== undefined) {
    approvals = approvals.where(sql<boolean>`(requested_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return approvals.orderBy('requested_at', 'desc').orderBy('id', 'desc').limit(query.limit).execute();
}
