import type { Database } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import type { JsonObject } from '../database/schema.generated.ts';
import type { Observe } from '../observe/observation.ts';
import type { Job, JobOutcome, JobStatus } from './job.ts';
import { renewJob } from './store/renewJob.ts';
import { settleJob } from './store/settleJob.ts';

export interface ClaimedJob {
  readonly job: Job;
  readonly leaseToken: string;
  /** How long the lease holds; it is renewed three times as often. */
  readonly leaseMs: number;
  /** Ends the run after the step under way. */
  readonly signal: AbortSignal;
  readonly onProgress?: ((soFar: JsonObject) => void) | undefined;
}

/** What came of one run of a job. */
export interface JobRun {
  /** lost: it took longer than its lease, which could not be renewed, and another process runs it now. */
  readonly status: JobStatus | 'lost';
  readonly result: JsonObject;
  readonly reason: string | undefined;
  /** Milliseconds until it is due again; undefined where another process decides that. */
  readonly dueInMs: number | undefined;
}

/** Runs a job under its lease, and writes down what came of it. */
export async function runClaimedJob(
  { database, observe }: { readonly database: Database; readonly observe: Observe },
  { job, leaseToken, leaseMs, signal, onProgress }: ClaimedJob,
): Promise<JobRun> {
  let soFar: JsonObject = {};
  const report = (progress: JsonObject): void => {
    soFar = progress;
    onProgress?.(progress);
  };
  const lost = new AbortController();
  let renewal = Promise.resolve();
  const renewing = setInterval(() => {
    renewal = renewJob(database.db, job.name, { leaseToken, leaseMs, soFar }).then(
      (isOurs) => (isOurs ? undefined : lost.abort()),
      // The lease holds for two more tries.
      () => undefined,
    );
  }, leaseMs / 3);

  let outcome: JobOutcome;
  try {
    outcome = await job.run({ signal: AbortSignal.any([signal, lost.signal]), report });
  } catch (error) {
    outcome = { result: soFar, failure: neutralReason(error) };
  }
  clearInterval(renewing);
  await renewal;
  return settle(outcome);

  async function settle({ result, failure, nextDue }: JobOutcome): Promise<JobRun> {
    const status = failure !== undefined ? 'failed' : signal.aborted ? 'interrupted' : 'done';
    let reason = failure;
    let dueInMs: number | undefined;
    try {
      dueInMs = await settleJob(database.db, job.name, { leaseToken, status, result, reason, nextDue });
    } catch (error) {
      reason ??= neutralReason(error);
    }
    if (reason !== undefined) observe({ type: 'job.failed', job: job.name, reason });
    else if (dueInMs === undefined) observe({ type: 'job.lease_lost', job: job.name });
    else observe({ type: 'job.ran', job: job.name, status, result });
    return { status: dueInMs === undefined ? 'lost' : status, result, reason, dueInMs };
  }
}
