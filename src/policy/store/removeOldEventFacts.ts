import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Removes some of the facts that no window of an aggregate reaches any more; returns of how many events. */
export async function removeOldEventFacts(db: Db): Promise<number> {
  const { rows } = await sql<{ removed: number }>`select moonguard.remove_old_event_facts() as removed`.execute(db);
  return rows[0]?.removed ?? 0;
}
