import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Where the next step begins. */
export interface PolicyLogPosition {
  readonly partition: string | null;
  readonly after: string | null;
}

export interface RemovedPolicyLogs {
  readonly action: 'drop' | 'remove';
  readonly partition: string;
  /** Rows of each class. */
  readonly classes: Readonly<Record<string, number>>;
  readonly nextPartition: string | null;
  readonly nextAfter: string | null;
}

/** Drops a partition of which every row is past, or removes a batch, in a transaction of its own; undefined while another session removes. */
export async function removePolicyLogs(
  db: Db,
  {
    runId,
    at,
    position,
    limit,
  }: { readonly runId: string; readonly at: Date; readonly position: PolicyLogPosition; readonly limit: number },
): Promise<RemovedPolicyLogs | undefined> {
  const { rows } = await sql<RemovedPolicyLogs>`
    select action, partition_name as partition, classes, next_partition as "nextPartition", next_after as "nextAfter"
    from moonguard.remove_expired_policy_logs(${runId}::uuid, ${at}, ${position.partition}, ${position.after}::uuid, ${limit})
  `.execute(db);
  return rows[0];
}
