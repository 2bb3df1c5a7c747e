import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Assigns what waits in queues to their members; returns how many alerts. */
export async function distributeAlerts(transaction: Db, limit: number): Promise<number> {
  const { rows } = await sql<{ distributed: number }>`
    select moonguard.distribute_alerts(${limit}) as distributed
  `.execute(transaction);
  return rows[0]?.distributed ?? 0;
}
