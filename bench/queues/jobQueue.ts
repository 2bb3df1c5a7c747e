/** What a job carries: the exact bytes that are signed and sent, as text. */
export interface DeliveryJob {
  readonly eventId: string;
  readonly body: string;
}

/**
 * Makes one attempt at a job and records it durably. Rejects when the job has to be tried again.
 * @param attemptNumber 1 is the first
 */
export type Deliver = (job: DeliveryJob, attemptNumber: number) => Promise<void>;

/** A job queue with a worker, as one would put it under webhooks without Moonguard. */
export interface JobQueue {
  /** Empties it and puts these jobs into it; nothing works on them yet. */
  readonly refill: (jobs: readonly DeliveryJob[]) => Promise<void>;
  readonly add: (job: DeliveryJob) => Promise<void>;
  /** Begins to work. */
  readonly start: (deliver: Deliver) => Promise<void>;
  /** Resolves when nothing is under way any more. */
  readonly stop: () => Promise<void>;
  /** Jobs that are not recorded as completed. */
  readonly countUnfinished: () => Promise<number>;
  /** Of the Redis that it is kept in, to count its processor time. */
  readonly redisProcessId?: number | undefined;
}

/** Jobs that one call puts into a queue. */
const CHUNK = 1_000;

export function chunksOf<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, at) => all.slice(at * CHUNK, (at + 1) * CHUNK));
}
