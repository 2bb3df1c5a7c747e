import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** @param by null resumes it @returns whether there is such a job */
export async function pauseJob(db: Db, name: string, by: string | null): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update moonguard.jobs
    set paused_by = ${by}::text, paused_at = case when ${by}::text is not null then coalesce(paused_at, now()) end
    where name = ${name}
  `.execute(db);
  return numAffectedRows === 1n;
}
