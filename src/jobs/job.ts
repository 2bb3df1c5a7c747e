import type { JsonObject } from '../database/schema.generated.ts';

/** Something that is done from time to time, by one process at a time. */
export interface Job {
  /** Lower case, with underscores: the key of moonguard.jobs, and what the command line calls it. */
  readonly name: string;
  /** What it does, in one line, for people. */
  readonly description: string;
  /** It begins at the latest so many seconds after it ended. */
  readonly everySeconds: number;
  /** The work as a call of one SQL function, where it is one (see {@link sqlJob}): pg_cron can run such a job too. */
  readonly sqlCall?: string;
  /** In steps that commit by themselves: a run that was cut off goes on with the next. What it throws is written down. */
  run(context: JobContext): Promise<JobOutcome>;
}

export interface JobContext {
  /** Aborted when the program stops, or when another process has the lease: end after the step under way. */
  readonly signal: AbortSignal;
  /** What was done so far: for whoever runs it by hand and, every few seconds, for moonguard.jobs. */
  readonly report: (soFar: JsonObject) => void;
}

export interface JobOutcome {
  /** Counts and the like; it stands in moonguard.jobs until the next run. */
  readonly result: JsonObject;
  /** When there will be something to do, where that is known and comes before `everySeconds` are over. */
  readonly nextDue?: Date | undefined;
  /** What could not be done, in a word; the rest was. It counts as failed and is tried again. */
  readonly failure?: string | undefined;
}

export const jobStatuses = ['done', 'interrupted', 'failed'] as const;
/** interrupted: the program stopped; another process goes on. */
export type JobStatus = (typeof jobStatuses)[number];
