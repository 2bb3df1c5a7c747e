import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Replay } from '../replay.ts';
import { selectReplays } from './selectReplays.ts';

export async function findReplay(db: Db, replayId: string): Promise<Replay | undefined> {
  const [replay] = await selectReplays(db, sql`where r.id = ${replayId}`);
  return replay;
}
