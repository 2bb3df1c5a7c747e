import type { ArchiveService } from '../archive/ArchiveService.ts';
import type { Database } from '../database/database.ts';
import type { JsonObject } from '../database/schema.generated.ts';
import type { Observe } from '../observe/observation.ts';
import type { RetentionService } from '../retention/RetentionService.ts';
import type { RetentionReport } from '../retention/retentionReport.ts';
import { vacuumWhereNeeded } from '../retention/store/vacuumWhereNeeded.ts';
import type { Job } from './job.ts';
import { sqlJob } from './sqlJob.ts';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface ScheduledJobsDependencies {
  readonly database: Database;
  readonly retention: Pick<RetentionService, 'run'>;
  /** Undefined where no target is set. */
  readonly archives: Pick<ArchiveService, 'run'> | undefined;
  readonly observe: Observe;
}

/** Everything that is done from time to time. Effective dates of policies need none: each decision asks for its own time. */
export function scheduledJobs(dependencies: ScheduledJobsDependencies): Job[] {
  const { database, archives } = dependencies;
  return [
    sqlJob(database, {
      name: 'deadlines',
      description: 'warn of deadlines of alerts, escalate, distribute, archive and count alerts',
      // How late an alert may be distributed; deadlines are waited for.
      everySeconds: 30,
      sqlCall: 'moonguard.run_alert_schedule()',
    }),
    sqlJob(database, {
      name: 'approvals',
      description: 'end approvals that nobody decided in time',
      // Nobody can grant them after their time in any case.
      everySeconds: MINUTE,
      sqlCall: 'moonguard.expire_approvals()',
    }),
    sqlJob(database, {
      name: 'event_facts',
      description: 'remove facts of events that no window of an aggregate reaches any more',
      everySeconds: HOUR,
      sqlCall: 'moonguard.remove_old_event_facts()',
    }),
    retentionJob(dependencies),
    ...(archives === undefined ? [] : [archiveJob(archives)]),
    sqlJob(database, {
      name: 'partitions',
      description: 'make the partitions of the policy log for this month and the next three',
      // Months ahead, so that failed turns do no harm; a row without one goes to the default partition.
      everySeconds: 6 * HOUR,
      sqlCall: 'moonguard.ensure_policy_log_partitions()',
    }),
    sqlJob(database, {
      name: 'statistics',
      description: 'refresh what the planner knows of tables that autovacuum leaves out',
      everySeconds: DAY,
      sqlCall: 'moonguard.refresh_statistics()',
    }),
    ...(database.kind === 'embedded' ? [vacuum(database)] : []),
  ];
}

function retentionJob({ retention, observe }: ScheduledJobsDependencies): Job {
  return {
    name: 'retention',
    description: 'remove events and rows of the policy log that are past their days',
    everySeconds: HOUR,
    run: async ({ signal, report }) => {
      const { status, ...removed } = await retention.run({ signal, onProgress: (soFar) => report(countsOf(soFar)) });
      observe({ type: 'retention.ran', status, ...removed });
      return { result: countsOf(removed) };
    },
  };
}

function archiveJob(archives: Pick<ArchiveService, 'run'>): Job {
  return {
    name: 'archive',
    description: 'archive the months of the policy log that are over, and what came late to them',
    everySeconds: DAY,
    run: async ({ signal, report }) => {
      const run = await archives.run({ signal, onProgress: (soFar) => report({ ...soFar }) });
      const rows = run.archives.reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0);
      return { result: { archives: run.archives.length, rows } };
    },
  };
}

function countsOf({ policyLogs, ...counts }: RetentionReport): JsonObject {
  return { ...counts, policyLogs: policyLogs.reduce((sum, { rows }) => sum + rows, 0) };
}

/**
 * The embedded database has no autovacuum: each delivery leaves dead rows, and without this their tables grow for ever
 * (8 MiB a minute at 20 events/s to 4 endpoints). A server does it by itself.
 */
function vacuum(database: Database): Job {
  return {
    name: 'vacuum',
    description: 'make room of dead rows usable again, as autovacuum does on a server',
    // Short, so that there is little to do at a time: everybody waits for it, some 4 µs a dead row.
    everySeconds: 30,
    run: async () => ({ result: { tables: await vacuumWhereNeeded(database.db) } }),
  };
}
