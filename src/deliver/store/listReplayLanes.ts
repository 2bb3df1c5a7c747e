import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** The part of one endpoint in a replay. */
export interface ReplayLane {
  readonly replayId: string;
  readonly endpointId: string;
}

/** What is left to do of running replays; whichever waited longest first, so that a rate is shared out in turn. */
export async function listReplayLanes(db: Db): Promise<ReplayLane[]> {
  const { rows } = await sql<ReplayLane>`
    select l.replay_id as "replayId", l.endpoint_id as "endpointId"
    from moonguard.replays r join moonguard.replay_lanes l on l.replay_id = r.id
    where r.status = 'running' and l.finished_at is null
    order by l.last_released_at nulls first, l.replay_id, l.endpoint_id
  `.execute(db);
  return rows;
}
