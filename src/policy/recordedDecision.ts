import type { Db } from '../database/database.ts';
import { identifier } from '../input/fields.ts';
import type { DecisionSummary } from './decisionRows.ts';
import type { DecisionInputs } from './inputs.ts';
import { decisionNotFound } from './policyErrors.ts';
import { findDecision } from './store/findDecision.ts';

/** A decision as the policy log has it. */
export interface RecordedDecision {
  readonly id: string;
  readonly correlation_id: string;
  readonly inputs: DecisionInputs;
  readonly summary: DecisionSummary;
}

/**
 * @param name the decision's id, that of the event that was decided on, or a correlation id: the newest decision with it
 * @throws MoonguardError decision_not_found
 */
export async function getDecision(db: Db, name: string): Promise<RecordedDecision> {
  const decision = identifier.safeParse(name).success ? await findDecision(db, name) : undefined;
  if (decision === undefined) throw decisionNotFound();
  return decision;
}
