import { sql } from 'kysely';
import type { Db } from './database.ts';

/**
 * Runs `write` so that the database records `actor` as the one who did it. Belongs in a transaction. What was set before
 * holds again afterwards, because a caller's transaction goes on; when `write` fails, the rollback brings it back.
 */
export async function asActor<T>(transaction: Db, actor: string, write: () => Promise<T>): Promise<T> {
  const { rows } = await sql<{ before: string | null }>`
    with before as materialized (select current_setting('moonguard.actor', true) as actor)
    select actor as before, set_config('moonguard.actor', ${actor}, true) from before
  `.execute(transaction);
  const written = await write();
  await sql`select set_config('moonguard.actor', ${rows[0]?.before ?? ''}, true)`.execute(transaction);
  return written;
}
