import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReplayLane } from './listReplayLanes.ts';

export interface ReleaseBounds {
  /** Deliveries of one lane that may be released and not tried yet. */
  readonly window: number;
  /** Deliveries in one transaction. */
  readonly batch: number;
  /** Deliveries looked at in one transaction, whether the replay is about them or not. */
  readonly lookAt: number;
  readonly now?: Date;
}

export interface Released {
  /** Deliveries that are due now. 0 too when somebody else is at work on the replay. */
  readonly released: number;
  /** There is more that could be done at this moment. */
  readonly goesOn: boolean;
  /** All of the replay were tried. */
  readonly replayCompleted: boolean;
}

/** Makes the next deliveries of the lane due and moves its place: both or neither. */
export async function releaseReplayLane(
  db: Db,
  { replayId, endpointId }: ReplayLane,
  { window, batch, lookAt, now }: ReleaseBounds,
): Promise<Released> {
  const { rows } = await sql<Released>`
    select released, goes_on as "goesOn", replay_completed as "replayCompleted"
    from moonguard.release_replay_lane(${replayId}, ${endpointId}, ${window}, ${batch}, ${lookAt}, ${now ?? null})
  `.execute(db);
  return rows[0] ?? { released: 0, goesOn: false, replayCompleted: false };
}
