import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export async function readDatabaseTime(db: Db): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select now()`.execute(db);
  const [time] = rows;
  if (time === undefined) throw new TypeError('The database did not say what time it is.');
  return time.now;
}
