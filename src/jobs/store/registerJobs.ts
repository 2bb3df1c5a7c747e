import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Job } from '../job.ts';

/** Notes the jobs that are not in the table yet, due at once, and what has changed about the others. */
export async function registerJobs(db: Db, jobs: readonly Job[]): Promise<void> {
  const rows = jobs.map(({ name, everySeconds, sqlCall = null }) => ({ name, everySeconds, sqlCall }));
  await sql`
    insert into moonguard.jobs as job (name, every_seconds, sql_call)
    select name, "everySeconds", "sqlCall"
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given (name text, "everySeconds" integer, "sqlCall" text)
    order by name
    on conflict (name) do update set every_seconds = excluded.every_seconds, sql_call = excluded.sql_call
    where (job.every_seconds, job.sql_call) is distinct from (excluded.every_seconds, excluded.sql_call)
  `.execute(db);
}
