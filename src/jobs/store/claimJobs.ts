import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface JobClaim {
  readonly names: readonly string[];
  readonly worker: string;
  readonly leaseMs: number;
  /** Whatever its time, paused or not. */
  readonly byHand: boolean;
}

export interface JobTurn {
  readonly name: string;
  /** Null: it is not due, or somebody else's. */
  readonly leaseToken: string | null;
  readonly dueInMs: number;
}

/** Leases the jobs that are due; of those that are not, tells when they are. */
export async function claimJobs(db: Db, { names, worker, leaseMs, byHand }: JobClaim): Promise<JobTurn[]> {
  const { rows } = await sql<JobTurn>`
    select name, lease_token as "leaseToken", due_in_seconds * 1000 as "dueInMs"
    from moonguard.claim_jobs(${names}::text[], ${worker}, ${leaseMs / 1000}, ${byHand})
  `.execute(db);
  return rows;
}
