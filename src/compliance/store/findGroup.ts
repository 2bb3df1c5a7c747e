import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertRow } from '../alert.ts';

/** The alerts of a group, the newest first; at most `limit`. */
export async function findGroup(db: Db, groupId: string, limit: number): Promise<AlertRow[]> {
  const { rows } = await sql<AlertRow>`
    select * from moonguard.alerts_of_group(${groupId}) order by triggered_at desc, id desc limit ${limit}
  `.execute(db);
  return rows;
}
