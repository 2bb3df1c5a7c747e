import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export async function notify(db: Db, channel: string): Promise<void> {
  await sql`select pg_notify(${channel}, '')`.execute(db);
}
