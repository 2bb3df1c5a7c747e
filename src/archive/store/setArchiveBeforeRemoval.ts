import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Whether retention leaves rows of the log that stand in no verified archive. Each change is a row of the log. */
export async function setArchiveBeforeRemoval(db: Db, isNeeded: boolean): Promise<void> {
  await sql`update moonguard.archive_settings set before_removal = ${isNeeded}`.execute(db);
}
