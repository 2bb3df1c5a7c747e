import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ScheduleRun {
  /** False: another session is at it, and this one did nothing. */
  readonly isLeader: boolean;
  readonly warned: number;
  readonly breached: number;
  readonly escalated: number;
  readonly assigned: number;
  readonly archived: number;
  /** SQLSTATE of something that could not be done; the next run tries again. */
  readonly failure: string | null;
  /** Whether something may be due that exceeded the limit. */
  readonly more: boolean;
}

export interface ScheduleOptions {
  /** At most so many of each; default 100. */
  readonly limit?: number;
  /** Instead of the time of the database. */
  readonly now?: Date;
}

/** Does what is due about alerts, in one transaction. */
export async function runAlertSchedule(db: Db, { limit = 100, now }: ScheduleOptions = {}): Promise<ScheduleRun> {
  return db
    .selectFrom(
      sql<Omit<ScheduleRun, 'isLeader'> & { is_leader: boolean }>`
        moonguard.run_alert_schedule(coalesce(${now ?? null}::timestamptz, now()), ${limit})
      `.as('run'),
    )
    .select(['is_leader as isLeader', 'warned', 'breached', 'escalated', 'assigned', 'archived', 'failure', 'more'])
    .executeTakeFirstOrThrow();
}
