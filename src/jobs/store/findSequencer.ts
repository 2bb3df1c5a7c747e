import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface SequencerState {
  /** Null: none leads. */
  readonly leader: string | null;
  readonly lastCheckpointAt: Date | null;
  /** For how long the oldest row waits for its checkpoint. */
  readonly waitingSeconds: number | null;
}

export async function findSequencer(db: Db): Promise<SequencerState> {
  const { rows } = await sql<SequencerState>`
    select case when leader_until > now() then leader::text end as leader, signed_at as "lastCheckpointAt",
      (select extract(epoch from now() - queued_at)::double precision from moonguard.audit_queue order by id limit 1) as "waitingSeconds"
    from moonguard.audit_log
  `.execute(db);
  return rows[0] ?? { leader: null, lastCheckpointAt: null, waitingSeconds: null };
}
