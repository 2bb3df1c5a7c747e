import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { JsonObject } from '../../database/schema.generated.ts';
import type { JobStatus } from '../job.ts';

export interface JobRow {
  readonly name: string;
  readonly everySeconds: number;
  /** late: it should have begun a while ago, and nobody does it. */
  readonly state: 'running' | 'paused' | 'late' | 'waiting';
  readonly isOnPgCron: boolean;
  readonly nextAt: Date;
  readonly pausedAt: Date | null;
  readonly pausedBy: string | null;
  /** Host and process that run it, or ran it last. */
  readonly worker: string | null;
  readonly lastStartedAt: Date | null;
  /** Of the last run that ended; null while the first is under way. */
  readonly lastDurationMs: number | null;
  readonly lastStatus: JobStatus | null;
  /** While it is running: so far. */
  readonly lastResult: JsonObject | null;
  readonly lastError: string | null;
  /** How many runs have failed one after the other. */
  readonly failures: number;
}

/** More than a job may take to be claimed where a server or worker runs. */
const LATE_AFTER = '5 minutes';

export async function listJobs(db: Db): Promise<JobRow[]> {
  const { rows } = await sql<JobRow>`
    select name, every_seconds as "everySeconds", is_on_pg_cron as "isOnPgCron", next_at as "nextAt",
      case when leased_until > now() then 'running' when paused_at is not null then 'paused'
        when next_at < now() - ${LATE_AFTER}::interval then 'late' else 'waiting' end as state,
      paused_at as "pausedAt", paused_by as "pausedBy", worker, last_started_at as "lastStartedAt",
      case when last_ended_at >= last_started_at then extract(epoch from last_ended_at - last_started_at)::double precision * 1000 end as "lastDurationMs",
      last_status as "lastStatus", last_result as "lastResult", last_error as "lastError", failures
    from moonguard.jobs
    order by name
  `.execute(db);
  return rows;
}
