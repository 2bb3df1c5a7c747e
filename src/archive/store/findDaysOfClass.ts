import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** For how many days rows of a class are kept at least, whatever they say themselves; 0: they alone say it. */
export async function findDaysOfClass(db: Db, retentionClass: string): Promise<number> {
  const { rows } = await sql<{ days: number }>`
    select days from moonguard.retention_rules where retention_class = ${retentionClass} and not row_may_shorten
  `.execute(db);
  return rows[0]?.days ?? 0;
}
