import type { Db } from '../../database/database.ts';
import type { PolicyLogRow, PolicyLogWords } from '../policyLog.ts';
import type { RecordedDecision } from '../recordedDecision.ts';

/** The rows of a decision's rules. */
export async function listRuleRows(
  db: Db,
  { id, correlation_id }: Pick<RecordedDecision, 'id' | 'correlation_id'>,
): Promise<PolicyLogRow[]> {
  return (
    db
      .selectFrom('moonpay_policy_logs')
      .selectAll()
      .$narrowType<PolicyLogWords>()
      // By its index; decision_id has none.
      .where('correlation_id', '=', correlation_id)
      .where('decision_id', '=', id)
      .where('id', '!=', id)
      .execute()
  );
}
