import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { DecisionRow } from '../decisionRows.ts';

/** Writes the rows of decisions, any number in one statement. */
export async function insertDecisionRows(db: Db, rows: readonly DecisionRow[]): Promise<never[]> {
  const decisions = new Places<DecisionRow>();
  const rules = new Places<DecisionRow>();
  const own = rows.map((row) => ({
    decision: decisions.of(row.decisionId, row),
    rule: rules.of(ruleKey(row), row),
    id: row.id,
    inputs: row.inputs,
    action_type: row.actionType,
    execution_status: row.executionStatus,
    rule_results: row.ruleResults,
    reason: row.reason,
    severity: row.severity,
    compliance_impact: row.complianceImpact,
    requires_action: row.requiresAction,
  }));
  await sql`
    select moonguard.log_decisions(${JSON.stringify(own)}::json, ${JSON.stringify(decisions.all.map(decisionFields))}::json,
      ${JSON.stringify(rules.all.map(ruleFields))}::json)
  `.execute(db);
  return [];
}

/** Counts things up by their key; keeps the first of each. */
class Places<T> {
  readonly all: T[] = [];
  readonly #places = new Map<string, number>();

  of(key: string, value: T): number {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    this.#places.set(key, this.all.length);
    return this.all.push(value) - 1;
  }
}

/** Rows with the same one agree in everything of `ruleFields`. */
function ruleKey({
  policyId,
  policyVersion,
  ruleConditions,
  retentionPeriodDays,
  retentionClass,
  metadata,
}: DecisionRow) {
  const { environment, mode = '' } = metadata;
  return `${policyId} ${policyVersion} ${ruleConditions?.rule} ${mode} ${environment} ${retentionPeriodDays} ${retentionClass}`;
}

function ruleFields(row: DecisionRow, place: number): object {
  return {
    place,
    policy_id: row.policyId,
    policy_name: row.policyName,
    policy_type: row.policyType,
    policy_version: row.policyVersion,
    rule_conditions: row.ruleConditions,
    retention_period_days: row.retentionPeriodDays,
    retention_class: row.retentionClass,
    metadata: row.metadata,
  };
}

function decisionFields(row: DecisionRow, place: number): object {
  return {
    place,
    decision_id: row.decisionId,
    entity_type: row.entityType,
    entity_id: row.entityId,
    customer_id: row.customerId,
    transaction_id: row.transactionId,
    triggered_by: row.triggeredBy,
    executed_by: row.executedBy,
    source: row.source,
    correlation_id: row.correlationId,
  };
}
