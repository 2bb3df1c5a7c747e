import { sql } from 'kysely';
import type { Client } from 'pg';
import type { Db } from '../../src/database/database.ts';
import type { PolicyExecutionInput } from '../../src/policy/policyLogInput.ts';

/** A statement a row, as any client would. */
export async function insertRow(client: Client, row: PolicyExecutionInput): Promise<void> {
  await client.query({
    name: 'insert_row',
    text: `insert into public.moonpay_policy_logs (policy_id, action_type, entity_type, entity_id, transaction_id, customer_id,
        rule_conditions, rule_results, triggered_by, severity, compliance_impact, requires_action, reason, source, correlation_id, metadata)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
    values: [
      row.policyId,
      row.actionType,
      row.entityType,
      row.entityId,
      row.transactionId,
      row.customerId,
      row.ruleConditions,
      row.ruleResults,
      row.triggeredBy,
      row.severity,
      row.complianceImpact,
      row.requiresAction,
      row.reason,
      row.source,
      row.correlationId,
      row.metadata,
    ],
  });
}

/** The same rows in one statement. */
export async function insertRows(db: Db, rows: readonly PolicyExecutionInput[]): Promise<void> {
  const given = rows.map((row) => ({
    policy_id: row.policyId,
    entity_id: row.entityId,
    customer_id: row.customerId,
    rule_conditions: row.ruleConditions,
    rule_results: row.ruleResults,
    triggered_by: row.triggeredBy,
    reason: row.reason,
    correlation_id: row.correlationId,
    metadata: row.metadata,
  }));
  await sql`
    insert into public.moonpay_policy_logs (policy_id, action_type, entity_type, entity_id, transaction_id, customer_id,
      rule_conditions, rule_results, triggered_by, severity, compliance_impact, requires_action, reason, source, correlation_id, metadata)
    select policy_id, 'rule_triggered', 'transaction', entity_id, entity_id, customer_id, rule_conditions, rule_results, triggered_by,
      'warning', 'medium', true, reason, 'bench', correlation_id, metadata
    from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as given (policy_id text, entity_id text, customer_id text,
      rule_conditions jsonb, rule_results jsonb, triggered_by text, reason text, correlation_id text, metadata jsonb)
  `.execute(db);
}

/** As if the audit log did not exist. */
export async function dropAuditTrigger(db: Db): Promise<void> {
  await sql`drop trigger queue_policy_logs on public.moonpay_policy_logs`.execute(db);
}

/** Leaves of the tree that was signed last. */
export async function readTreeSize(db: Db): Promise<number> {
  const { rows } = await sql<{ size: number }>`select tree_size as size from moonguard.audit_log`.execute(db);
  return rows[0]?.size ?? 0;
}

/** By correlation id, where each row stands in the tree. */
export async function readLeafIndexes(db: Db, from: number): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ correlationId: string; index: number }>`
    select l.correlation_id as "correlationId", a.leaf_index as index
    from moonguard.audit_leaves a join public.moonpay_policy_logs l on l.id = a.row_id and l.executed_at = a.executed_at
    where a.leaf_index >= ${from}
  `.execute(db);
  return new Map(rows.map(({ correlationId, index }) => [correlationId, index]));
}

export async function readLogIds(db: Db): Promise<string[]> {
  const { rows } = await sql<{ logId: string }>`
    select log_id as "logId" from public.moonpay_policy_logs where source = 'bench' order by random()
  `.execute(db);
  return rows.map(({ logId }) => logId);
}
