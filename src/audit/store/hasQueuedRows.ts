import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Whether rows wait to be put into the tree. Costs nothing, unlike a batch of none. */
export async function hasQueuedRows(db: Db): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`select exists (select from moonguard.audit_queue) as any`.execute(db);
  return rows[0]?.any ?? false;
}
