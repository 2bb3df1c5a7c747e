import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ApprovalRow, NewApproval } from '../approval.ts';

/** The pending approvals, in the order of what is asked for; several may be the same one. */
export async function requestApprovals(transaction: Db, asked: readonly NewApproval[]): Promise<ApprovalRow[]> {
  const wanted = asked.map((approval) => ({
    decision_id: approval.decisionId,
    correlation_id: approval.correlationId,
    policy_id: approval.policyId,
    policy_version: approval.policyVersion,
    rule_id: approval.ruleId,
    environment: approval.environment,
    customer_id: approval.customerId,
    entity_type: approval.entityType,
    entity_id: approval.entityId,
    requested_by: approval.requestedBy,
    expires_in_seconds: approval.expiresInSeconds,
  }));
  const { rows } = await sql<ApprovalRow>`
    select * from moonguard.request_approvals(${JSON.stringify(wanted)}::jsonb)
  `.execute(transaction);
  return rows;
}
