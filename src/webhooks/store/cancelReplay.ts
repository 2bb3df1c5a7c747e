import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReplayStatus } from '../replay.ts';

/**
 * Ends a running replay; what no worker has is put back to what it was.
 * @returns the status it had before, undefined when there is no such replay
 */
export async function cancelReplay(
  transaction: Db,
  replayId: string,
  actor: string,
): Promise<ReplayStatus | undefined> {
  const { rows } = await sql<{ status: ReplayStatus | null }>`
    select moonguard.cancel_replay(${replayId}, coalesce(moonguard.current_actor(), ${actor})) as status
  `.execute(transaction);
  return rows[0]?.status ?? undefined;
}
