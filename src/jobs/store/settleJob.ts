import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { JsonObject } from '../../database/schema.generated.ts';
import type { JobStatus } from '../job.ts';

export interface JobSettlement {
  readonly leaseToken: string;
  readonly status: JobStatus;
  readonly result: JsonObject;
  readonly reason: string | undefined;
  readonly nextDue: Date | undefined;
}

/** Writes down what came of a run. @returns when it is due again; undefined when the lease is another's by now */
export async function settleJob(
  db: Db,
  name: string,
  { leaseToken, status, result, reason, nextDue }: JobSettlement,
): Promise<number | undefined> {
  const { rows } = await sql<{ dueInMs: number | null }>`
    select 1000 * moonguard.settle_job(${name}, ${leaseToken}, ${status}, ${JSON.stringify(result)}::jsonb,
      ${reason ?? null}, ${nextDue ?? null}::timestamptz) as "dueInMs"
  `.execute(db);
  return rows[0]?.dueInMs ?? undefined;
}
