import { hostname } from 'node:os';
import type { Database } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import type { Job } from './job.ts';
import { Rounds } from './Rounds.ts';
import { type ClaimedJob, type JobRun, runClaimedJob } from './runClaimedJob.ts';
import { claimJobs } from './store/claimJobs.ts';
import { registerJobs } from './store/registerJobs.ts';

/** How long after the end of a process another one may take over what it was at. */
const LEASE_MS = 30_000;
/** For what other processes have changed: a job resumed, a lease that ended. */
const LOOK_AGAIN_MS = 60_000;
/** So that what is due at about the same time is claimed at once. */
const GATHER_MS = 100;
const AFTER_FAILURE_MS = 5_000;

export interface JobRunnerOptions {
  readonly database: Database;
  readonly observe: Observe;
  readonly jobs: readonly Job[];
  /** Default 30 seconds. */
  readonly leaseMs?: number;
}

/**
 * Runs the jobs whose turn it is, beside each other. Of several processes each job is one's, whoever asks first; when that
 * one dies another goes on.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #leaseMs: number;
  readonly #jobs: ReadonlyMap<string, Job>;
  readonly #running = new Map<string, Promise<void>>();
  readonly #rounds = new Rounds(() => this.#look());
  #stopping = new AbortController();

  constructor(options: JobRunnerOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#jobs = new Map(options.jobs.map((job) => [job.name, job]));
  }

  /** Does not wait for what is due: years of history may be. */
  async start(): Promise<void> {
    await this.register();
    this.#stopping = new AbortController();
    this.#rounds.start();
  }

  /** Ends every job after the step under way, and leaves the rest to others. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#rounds.stop();
    await Promise.all(this.#running.values());
  }

  /** Brings moonguard.jobs up to date with what this program knows. */
  async register(): Promise<void> {
    await registerJobs(this.#options.database.db, this.#options.jobs);
  }

  /**
   * Runs a job now, whether it is due, paused or neither.
   * @throws MoonguardError job_not_found; job_running when a process is at it
   */
  async runNow(
    name: string,
    { signal, onProgress }: Partial<Pick<ClaimedJob, 'signal' | 'onProgress'>> = {},
  ): Promise<JobRun> {
    const job = this.#jobs.get(name);
    if (job === undefined) {
      throw new MoonguardError('job_not_found', `There is no job ${name}: ${[...this.#jobs.keys()].join(', ')}.`);
    }
    await this.register();
    const leaseToken = (await this.#claim([name], true))[0]?.leaseToken ?? null;
    if (leaseToken === null) throw new MoonguardError('job_running', `A process is running ${name}.`);
    return this.#run(job, { leaseToken, signal: signal ?? this.#stopping.signal, onProgress });
  }

  /** Begins what is due. @returns how long there is nothing to do */
  async #look(): Promise<number> {
    let pauseMs = LOOK_AGAIN_MS;
    try {
      const names = [...this.#jobs.keys()].filter((name) => !this.#running.has(name));
      for (const { name, leaseToken, dueInMs } of await this.#claim(names)) {
        const job = this.#jobs.get(name);
        if (leaseToken === null) pauseMs = Math.min(pauseMs, dueInMs);
        else if (job !== undefined) this.#begin(job, leaseToken);
      }
    } catch (error) {
      this.#options.observe({ type: 'jobs.claim_failed', reason: neutralReason(error) });
      return AFTER_FAILURE_MS;
    }
    return Math.max(pauseMs, 0) + GATHER_MS;
  }

  #begin(job: Job, leaseToken: string): void {
    const run = this.#run(job, { leaseToken, signal: this.#stopping.signal }).then(({ dueInMs }) => {
      this.#running.delete(job.name);
      this.#rounds.wake((dueInMs ?? this.#leaseMs) + GATHER_MS);
    });
    this.#running.set(job.name, run);
  }

  #run(job: Job, claimed: Pick<ClaimedJob, 'leaseToken' | 'signal' | 'onProgress'>): Promise<JobRun> {
    return runClaimedJob(this.#options, { ...claimed, job, leaseMs: this.#leaseMs });
  }

  #claim(names: readonly string[], byHand = false) {
    const worker = `${hostname()} ${process.pid}`;
    return claimJobs(this.#options.database.db, { names, worker, leaseMs: this.#leaseMs, byHand });
  }
}
