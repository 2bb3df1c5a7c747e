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
  readonly after: string;
  readonly limit: number;
  readonly dryRun: boolean;
  /** Instead of the time of the database. */
  readonly now?: Date | undefined;
}

/** Removes, or with `dryRun` counts, one batch in a transaction of its own; undefined while another session does. */
export async function removeBatch(
  db: Db,
  task: RetentionTask,
  { runId, days, after, limit, dryRun, now }: RetentionBatch,
): Promise<RemovedBatch | undefined> {
  const before = sql`coalesce(${now}::timestamptz, now()) - make_interval(days => ${days})`;
  const { rows } = await sql<RemovedBatch>`
    select last_id as "lastId", events, deliveries, attempts, bodies
    from ${functions[task]}(${runId}::uuid, ${before}, ${after}::uuid, ${limit}, ${dryRun})
  `.execute(db);
  return rows[0];
}
