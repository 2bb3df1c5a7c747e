import { onTestFinished } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { JobRunner } from '../../src/jobs/JobRunner.ts';
import { Jobs } from '../../src/jobs/Jobs.ts';
import type { Job } from '../../src/jobs/job.ts';
import { scheduledJobs } from '../../src/jobs/scheduledJobs.ts';
import type { Observe } from '../../src/observe/observation.ts';
import { RetentionService } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { type Observed, observed } from './signals.ts';

export interface JobProcess extends Observed {
  readonly runner: JobRunner;
  readonly jobs: Jobs;
}

/** A process, as far as jobs are concerned. It ends with the test. */
export function processWith(database: Database, jobs: readonly Job[], leaseMs?: number): JobProcess {
  const signals = observed();
  const { observe } = signals;
  const runner = new JobRunner({ database, observe, jobs, ...(leaseMs !== undefined && { leaseMs }) });
  onTestFinished(() => runner.stop());
  return { ...signals, runner, jobs: new Jobs({ database, jobs, runner }) };
}

/** What servers and workers do from time to time on this database. */
export function jobsOf(database: Database, observe: Observe = () => {}): Job[] {
  const retention = new RetentionService({ database, runtime: systemRuntime, settings: {} });
  return scheduledJobs({ database, retention, archives: undefined, observe });
}
