import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import type { JobRunner } from './JobRunner.ts';
import type { Job } from './job.ts';
import type { ClaimedJob, JobRun } from './runClaimedJob.ts';
import { findSequencer, type SequencerState } from './store/findSequencer.ts';
import { type JobRow, listJobs } from './store/listJobs.ts';
import { pauseJob } from './store/pauseJob.ts';
import { isPgCronThere, scheduleOnPgCron, takeFromPgCron } from './store/pgCron.ts';

/** A job, whose turn it is, and what came of its last run. */
export interface JobState extends JobRow {
  readonly description: string;
}

export interface JobsDependencies {
  readonly database: Database;
  readonly jobs: readonly Job[];
  readonly runner: Pick<JobRunner, 'register' | 'runNow'>;
}

/** What is done from time to time: cleanup, archive, partitions, deadlines, statistics. */
export class Jobs {
  readonly #database: Database;
  readonly #jobs: readonly Job[];
  readonly #runner: JobsDependencies['runner'];

  constructor({ database, jobs, runner }: JobsDependencies) {
    this.#database = database;
    this.#jobs = jobs;
    this.#runner = runner;
  }

  async list(): Promise<JobState[]> {
    await this.#runner.register();
    const rows = await listJobs(this.#database.db);
    return this.#jobs.flatMap(({ name, description }) =>
      rows.filter((row) => row.name === name).map((row) => ({ ...row, description })),
    );
  }

  /** The one process that signs the audit log all the time, which is no job. */
  sequencer(): Promise<SequencerState> {
    return findSequencer(this.#database.db);
  }

  /**
   * Runs a job now, whether it is due, paused or neither, and resolves to what came of it.
   * @throws MoonguardError job_not_found; job_running when a process is at it
   */
  run(name: string, options: Partial<Pick<ClaimedJob, 'signal' | 'onProgress'>> = {}): Promise<JobRun> {
    return this.#runner.runNow(name, options);
  }

  /**
   * Lets a job run no more until it is resumed; what is under way ends.
   * @throws MoonguardError job_not_found
   */
  async pause(name: string, { actor = SYSTEM_ACTOR }: Pick<WriteOptions, 'actor'> = {}): Promise<void> {
    await this.#setPaused(name, actor);
  }

  /** @throws MoonguardError job_not_found */
  async resume(name: string): Promise<void> {
    await this.#setPaused(name, null);
  }

  /**
   * Leaves the jobs whose work is one SQL function to pg_cron, or takes them back. Calling it again changes nothing.
   * @returns their names
   * @throws MoonguardError pg_cron_missing
   */
  async schedule(by: 'pg_cron' | 'moonguard'): Promise<string[]> {
    await this.#runner.register();
    if (by === 'pg_cron' && !(await isPgCronThere(this.#database.db))) {
      throw new MoonguardError('pg_cron_missing', 'This database does not have the extension pg_cron.');
    }
    const change = by === 'pg_cron' ? scheduleOnPgCron : takeFromPgCron;
    return this.#database.transaction(change);
  }

  async #setPaused(name: string, by: string | null): Promise<void> {
    await this.#runner.register();
    if (!(await pauseJob(this.#database.db, name, by))) {
      throw new MoonguardError(
        'job_not_found',
        `There is no job ${name}: ${this.#jobs.map((job) => job.name).join(', ')}.`,
      );
    }
  }
}
