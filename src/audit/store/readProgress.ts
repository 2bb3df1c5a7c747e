import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** How far the log has come. */
export interface AuditProgress {
  /** Leaves under the last checkpoint. */
  readonly size: number;
  /** Null before the first checkpoint. */
  readonly signedAt: Date | null;
  /** Rows of the policy log that wait to be put into the tree, without those that would tell of alerts; at most 100,000 are counted. */
  readonly queued: number;
  /** For how long the oldest of them waits; 0 when none does. */
  readonly oldestQueuedSeconds: number;
  /** Whether anybody ever had the key of the log. */
  readonly hasKey: boolean;
}

/** Looks at the beginning of the queue only, so that it may be asked every few seconds. */
export async function readProgress(db: Db): Promise<AuditProgress> {
  const { rows } = await sql<AuditProgress>`
    select tree_size as size, signed_at as "signedAt", verifier_key is not null as "hasKey",
      (select count(*) from (select from moonguard.audit_queue where kind = 'policy_log' limit 100000) as waiting) as queued,
      coalesce((select extract(epoch from clock_timestamp() - queued_at) from moonguard.audit_queue where kind = 'policy_log' order by id limit 1), 0)::double precision
        as "oldestQueuedSeconds"
    from moonguard.audit_log
  `.execute(db);
  return rows[0] ?? { size: 0, signedAt: null, queued: 0, oldestQueuedSeconds: 0, hasKey: false };
}
