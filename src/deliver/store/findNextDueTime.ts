import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Milliseconds until the next delivery is due, below 0 when one is overdue; undefined when none is pending. */
export async function findNextDueTime(db: Db): Promise<number | undefined> {
  const { rows } = await sql<{ due_in_ms: number | null }>`
    select (extract(epoch from min(next_attempt_at) - now()) * 1000)::double precision as due_in_ms
    from moonguard.deliveries where status = 'pending'
  `.execute(db);
  return rows[0]?.due_in_ms ?? undefined;
}
