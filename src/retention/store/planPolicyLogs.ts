import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** What is done to rows of one class in one partition of the policy log. */
export interface PolicyLogStep {
  /** drop: the whole partition goes at once; erase: the row stays, without what may be about a person. */
  readonly action: 'drop' | 'remove' | 'erase';
  readonly partition: string;
  readonly retentionClass: string;
  readonly rows: number;
}

/** What a run at this time does to the log. */
export async function planPolicyLogs(db: Db, at: Date): Promise<PolicyLogStep[]> {
  const { rows } = await sql<PolicyLogStep>`
    select action, partition_name as partition, retention_class as "retentionClass", row_count as rows
    from moonguard.plan_policy_log_retention(${at})
  `.execute(db);
  return rows;
}
