import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReplayableStatus } from '../replay.ts';

export interface NewReplay {
  readonly id: string;
  readonly endpointId: string | undefined;
  readonly status: readonly ReplayableStatus[];
  readonly events?: readonly string[] | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  readonly ratePerSecond?: number | undefined;
}

/** Stores the replay with what it is about at this moment, and wakes the replayers. */
export async function beginReplay(transaction: Db, replay: NewReplay, actor: string): Promise<void> {
  const { id, endpointId = null, status, events = null, since = null, until = null, ratePerSecond = null } = replay;
  await sql`
    select moonguard.begin_replay(${id}, ${endpointId}, ${textArray(status)}, ${textArray(events)}, ${since}, ${until},
      ${ratePerSecond}, coalesce(moonguard.current_actor(), ${actor}))
  `.execute(transaction);
}

/** Null stays null. */
function textArray(words: readonly string[] | null) {
  return sql`(select array_agg(word) from jsonb_array_elements_text(${words && JSON.stringify(words)}::jsonb) as word)`;
}
