import type { Database } from '../database/database.ts';
import type { Runtime } from '../runtime.ts';
import { type RemovedRows, type RetentionTask, removeBatch, retentionTasks } from './store/removeBatch.ts';

/** Events, or attempts, in one transaction: some 50 ms, in which nothing waits that is not as old. */
const BATCH = 1_000;
const DEFAULT_DAYS = 90;
const BEFORE_ALL_IDS = '00000000-0000-0000-0000-000000000000';

/** For how many days what is kept. Attempts and bodies go with their event at the latest. */
export interface RetentionSettings {
  /** Events that are decided, with their deliveries unless one is pending; default 90. */
  readonly eventDays?: number | undefined;
  /** Attempts; default: as long as events. */
  readonly attemptDays?: number | undefined;
  /** Bodies of events and of answers; default: as long as events. Without its body an event can no longer be delivered. */
  readonly bodyDays?: number | undefined;
}

export interface RetentionRun extends RemovedRows {
  /** interrupted: another process was at it, or the program stops. The rest goes with the next run. */
  readonly status: 'finished' | 'interrupted';
}

export interface RetentionRunOptions {
  /** Only count what would go; a row that is past several of the ages counts under each. */
  readonly dryRun?: boolean | undefined;
  /** Ends the run between two batches. */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the time of the database. */
  readonly now?: Date | undefined;
}

export interface RetentionServiceDependencies {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'newId'>;
  readonly settings: RetentionSettings;
}

/** Removes events, deliveries, attempts and bodies that are past their time. */
export class RetentionService {
  readonly #database: Database;
  readonly #runtime: Pick<Runtime, 'newId'>;
  readonly #days: Readonly<Record<RetentionTask, number>>;

  constructor({ database, runtime, settings }: RetentionServiceDependencies) {
    const { eventDays = DEFAULT_DAYS, attemptDays = eventDays, bodyDays = eventDays } = settings;
    this.#database = database;
    this.#runtime = runtime;
    this.#days = { events: eventDays, attempts: attemptDays, bodies: bodyDays };
  }

  /** Everything that is due, in batches of a transaction each; what was removed stands in moonguard.retention_runs. */
  async run({ dryRun = false, signal, now }: RetentionRunOptions = {}): Promise<RetentionRun> {
    const runId = this.#runtime.newId();
    const total = { events: 0, deliveries: 0, attempts: 0, bodies: 0 };
    for (const task of this.#tasks()) {
      const days = this.#days[task];
      let after: string | null = BEFORE_ALL_IDS;
      while (after !== null) {
        if (signal?.aborted) return { status: 'interrupted', ...total };
        const batch = { runId, days, after, limit: BATCH, dryRun, now };
        const removed = await removeBatch(this.#database.db, task, batch);
        if (removed === undefined) return { status: 'interrupted', ...total };
        for (const kind of ['events', 'deliveries', 'attempts', 'bodies'] as const) total[kind] += removed[kind];
        after = removed.lastId;
      }
    }
    return { status: 'finished', ...total };
  }

  /** What is kept as long as events goes with them. */
  #tasks(): RetentionTask[] {
    return retentionTasks.filter((task) => task === 'events' || this.#days[task] < this.#days.events);
  }
}
