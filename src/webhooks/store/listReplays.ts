import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Replay } from '../replay.ts';
import { selectReplays } from './selectReplays.ts';

/** The newest first. @param cursor id of the replay with which the page before ended */
export function listReplays(db: Db, cursor: string | undefined, limit: number): Promise<Replay[]> {
  const before = cursor === undefined ? sql`` : sql`where r.id < ${cursor}`;
  return selectReplays(db, sql`${before} order by r.id desc limit ${limit}`);
}
