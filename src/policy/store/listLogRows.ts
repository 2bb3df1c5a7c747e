import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { PolicyLogRow, PolicyLogWords } from '../policyLog.ts';
import type { PolicyLogFilter } from '../policyLogInput.ts';

export interface PolicyLogQuery extends Omit<PolicyLogFilter, 'cursor'> {
  /** Words that policy name, reason or notes hold. */
  readonly text?: string | undefined;
  /** The last row of the page before. */
  readonly after?: Position | undefined;
}

/** `position` is `executed_at` with all its digits: a Date has only milliseconds. */
export type ListedPolicyLogRow = PolicyLogRow & { readonly position: string };

/** The newest first; at most `limit`. */
export async function listLogRows(db: Db, query: PolicyLogQuery): Promise<ListedPolicyLogRow[]> {
  const { text, after, from, to } = query;
  let log = db
    .selectFrom('moonpay_policy_logs')
    .selectAll()
    .select(sql<string>`to_jsonb(executed_at) #>> '{}'`.as('position'))
    .$narrowType<PolicyLogWords>();
  for (const [column, value] of equalities(query)) {
    if (value !== undefined) log = log.where(column, '=', value);
  }
  if (query.policyType !== undefined) log = log.where('policy_type', 'in', query.policyType);
  if (query.actionType !== undefined) log = log.where('action_type', 'in', query.actionType);
  if (query.executionStatus !== undefined) log = log.where('execution_status', 'in', query.executionStatus);
  if (from !== undefined) log = log.where('executed_at', '>=', from);
  if (to !== undefined) log = log.where('executed_at', '<', to);
  if (text !== undefined) {
    const pattern = `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
    log = log.where(sql<boolean>`(policy_name ilike ${pattern} or reason ilike ${pattern} or notes ilike ${pattern})`);
  }
  if (after !== undefined) {
    log = log.where(sql<boolean>`(executed_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return log.orderBy('executed_at', 'desc').orderBy('id', 'desc').limit(query.limit).execute();
}

function equalities(query: PolicyLogQuery) {
  return [
    ['policy_id', query.policyId],
    ['entity_type', query.entityType],
    ['entity_id', query.entityId],
    ['customer_id', query.customerId],
    ['transaction_id', query.transactionId],
    ['correlation_id', query.correlationId],
    ['source', query.source],
  ] as const;
}
