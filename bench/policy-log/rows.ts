import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import type { PolicyExecutionInput } from '../../src/policy/policyLogInput.ts';

const POLICIES = 20;
const CUSTOMERS = 5_000;

/** Policies whose name and type the rows leave to the database. */
export async function addPolicies(policies: PolicyService): Promise<void> {
  for (let number = 0; number < POLICIES; number++) {
    await policies.createPolicy({ policyId: policyIdOf(number), name: `Velocity ${number}`, type: 'transaction' });
  }
}

/** A rule that hit, with its source and values, as a program of our users' would log it. */
export function executionsOf(n: number): PolicyExecutionInput[] {
  return Array.from({ length: n }, (_, place) => {
    const transactionId = randomUUID();
    return {
      policyId: policyIdOf(place),
      actionType: 'rule_triggered',
      entityType: 'transaction',
      entityId: transactionId,
      transactionId,
      customerId: `customer_${place % CUSTOMERS}`,
      ruleConditions: {
        rule: `cards_${place % 5}`,
        version: 3,
        hash: 'c5a1f0d2b3e49687',
        source: 'aggregates.cards_24h > 3 && event.country in ["GBR", "FRA"]',
      },
      ruleResults: { result: 'hit', outcome: 'review', values: { 'aggregates.cards_24h': 4, 'event.country': 'GBR' } },
      triggeredBy: 'transaction.created',
      severity: 'warning',
      complianceImpact: 'medium',
      requiresAction: true,
      reason: 'The customer used 4 cards within 24 hours',
      source: 'bench',
      correlationId: `evt_${transactionId}`,
      metadata: { environment: 'sandbox' },
    };
  });
}

const policyIdOf = (place: number): string => `velocity_${place % POLICIES}`;

export async function countRows(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from public.moonpay_policy_logs where source = 'bench'
  `.execute(db);
  return rows[0]?.count ?? 0;
}
