import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** What goes at its own age, in the order in which it is removed. Events take their deliveries and attempts along. */
export const retentionTasks = ['events', 'attempts', 'bodies'] as const;
export type RetentionTask = (typeof retentionTasks)[number];

const functions = {
  events: sql`moonguard.remove_old_events`,
  attempts: sql`moonguard.remove_old_attempts`,
  bodies: sql`moonguard.remove_old_bodies`,
} as const satisfies Record<RetentionTask, unknown>;

export interface RemovedRows {
  readonly events: number;
  readonly deliveries: number;
  readonly attempts: number;
  /** Events whose body was emptied. */
  readonly bodies: number;
}

export interface RemovedBatch extends RemovedRows {
  /** Where the next batch goes on; null when nothing is left. */
  readonly lastId: string | null;
}

export interface RetentionBatch {
  /** Joins the batches of one run in moonguard.retention_runs. */
  readonly runId: string;
  readonly days: number;
  /** A dry run of attempts and bodies leaves out what goes with an event of more days than these. */
  readonly eventDays: number;
  readonly after: string;
  readonly limit: number;
  readonly dryRun: boolean;
  /** The time of the run. */
  readonly at: Date;
}

/** Removes, or with `dryRun` counts, one batch in a transaction of its own; undefined while another session does. */
export async function removeBatch(
  db: Db,
  task: RetentionTask,
  { runId, days, eventDays, after, limit, dryRun, at }: RetentionBatch,
): Promise<RemovedBatch | undefined> {
  const before = (age: number) => sql`${at}::timestamptz - make_interval(days => ${age})`;
  const { rows } = await sql<RemovedBatch>`
    select last_id as "lastId", events, deliveries, attempts, bodies
    from ${functions[task]}(${runId}::uuid, ${before(days)}, ${after}::uuid, ${limit}, ${dryRun}, ${before(eventDays)})
  `.execute(db);
  return rows[0];
}
