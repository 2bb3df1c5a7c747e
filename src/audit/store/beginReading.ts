import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** For the rest of a transaction that has done nothing yet: nothing moves, and to_jsonb writes times in UTC. */
export async function beginReading(transaction: Db): Promise<void> {
  await sql`set transaction isolation level repeatable read, read only`.execute(transaction);
  await sql`select set_config('TimeZone', 'UTC', true)`.execute(transaction);
}
