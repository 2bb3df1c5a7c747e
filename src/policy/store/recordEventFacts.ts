import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface RecordedFacts {
  /** How many of the oldest events wait for their decision, at most as many as were looked at. */
  readonly undecided: number;
  /** Of the policies. */
  readonly revision: number;
}

/** To be committed before the events are claimed: aggregates of other deciders count them from then on. */
export async function recordEventFacts(db: Db, lookAt: number): Promise<RecordedFacts> {
  const { rows } = await sql<RecordedFacts>`
    select moonguard.record_event_facts(${lookAt}) as undecided, revision from moonguard.policy_revision
  `.execute(db);
  return rows[0] ?? { undecided: 0, revision: 0 };
}
