import type { DecisionSummary } from './decisionRows.ts';
import type { DecisionInputs } from './inputs.ts';

/** A decision as the policy log has it. */
export interface RecordedDecision {
  readonly id: string;
  readonly correlation_id: string;
  readonly inputs: DecisionInputs;
  readonly summary: DecisionSummary;
}
