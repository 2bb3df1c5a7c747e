import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database } from '../database/database.ts';
import { identifier, text } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import type { Runtime } from '../runtime.ts';
import { eraseRows } from './eraseRows.ts';
import { erasureSteps, type RetentionSteps, removalSteps } from './policyLogSteps.ts';
import { addedUp, type RetentionReport } from './retentionReport.ts';
import { type ErasedEvents, eraseCustomerEvents } from './store/eraseCustomerEvents.ts';
import { listRowsOfCustomer } from './store/listRowsOfCustomer.ts';
import { lockRetention } from './store/lockRetention.ts';
import { planPolicyLogs } from './store/planPolicyLogs.ts';
import { readDatabaseTime } from './store/readDatabaseTime.ts';
import { type RetentionTask, removeBatch, retentionTasks } from './store/removeBatch.ts';

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

export interface RetentionRun extends RetentionReport {
  /** interrupted: another process was at it, or the program stops. The rest goes with the next run. */
  readonly status: 'finished' | 'interrupted';
}

export interface RetentionPlanOptions {
  /** Instead of the time of the database. */
  readonly now?: Date | undefined;
}

export interface RetentionRunOptions extends RetentionPlanOptions {
  /** Ends the run between two steps. */
  readonly signal?: AbortSignal | undefined;
  /** After each step, with what the run has done so far. */
  readonly onProgress?: ((soFar: RetentionReport) => void) | undefined;
}

const erasureSchema = z.strictObject({
  /** As the policy log names the customer. */
  customerId: identifier,
  /** Stands in the log: name no person in it. */
  reason: text,
  /** Whether the bodies of the customer's events, and the answers of endpoints to them, are emptied too; default false. */
  events: z.boolean().default(false),
});
export type ErasureInput = z.input<typeof erasureSchema>;

export interface Erasure {
  /** Rows of the policy log in which nothing about a person is left. */
  readonly erased: number;
  /** Rows that stay as they are, by a legal hold, an open follow-up or retain_until. */
  readonly held: number;
  /** Rows that stay as they are because the law that their class stands for requires them still. */
  readonly required: number;
  readonly events: ErasedEvents | undefined;
}

export interface RetentionServiceDependencies {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'newId'>;
  readonly settings: RetentionSettings;
}

/** Removes what is past its time: events, deliveries, attempts, bodies, and rows of the policy log by their classes. */
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

  /** What a run at this time does. Changes nothing. */
  async plan({ now }: RetentionPlanOptions = {}): Promise<RetentionReport> {
    const at = now ?? (await readDatabaseTime(this.#database.db));
    const steps: Partial<RetentionReport>[] = [{ policyLogs: await planPolicyLogs(this.#database.db, at) }];
    for await (const step of this.#eventSteps(at, true)) steps.push(step ?? {});
    return addedUp(steps);
  }

  /**
   * Does everything that is due, in steps of a transaction each: it may be killed at any moment. What was done stands in
   * moonguard.retention_runs, and what was done to the policy log in the log itself.
   */
  async run({ signal, now, onProgress }: RetentionRunOptions = {}): Promise<RetentionRun> {
    const at = now ?? (await readDatabaseTime(this.#database.db));
    let soFar = addedUp([]);
    for await (const step of this.#steps(at)) {
      if (step === undefined) return { status: 'interrupted', ...soFar };
      soFar = addedUp([soFar, step]);
      onProgress?.(soFar);
      if (signal?.aborted) return { status: 'interrupted', ...soFar };
    }
    return { status: 'finished', ...soFar };
  }

  /**
   * Takes what may be about a person out of a customer's rows of the policy log before their time. That there was a
   * decision, when and by which policy, stays, and so does every proof; the log says that it was done.
   * @throws MoonguardError erasure_invalid
   */
  async erase(input: ErasureInput, { transaction: within, actor = SYSTEM_ACTOR }: WriteOptions = {}): Promise<Erasure> {
    const { customerId, reason, events } = parseInput(erasureSchema, input, 'erasure_invalid');
    return this.#database.transaction(
      (transaction) =>
        asActor(transaction, actor, async () => {
          await lockRetention(transaction);
          const rows = await listRowsOfCustomer(transaction, customerId);
          const free = rows.filter(({ kept }) => kept === null);
          await eraseRows(transaction, { runId: this.#runtime.newId(), reason, rows: free });
          return {
            erased: free.length,
            held: rows.filter(({ kept }) => kept === 'held').length,
            required: rows.filter(({ kept }) => kept === 'required').length,
            events: events ? await eraseCustomerEvents(transaction, customerId) : undefined,
          };
        }),
      within,
    );
  }

  async *#steps(at: Date): RetentionSteps {
    const run = { runId: this.#runtime.newId(), at };
    yield* this.#eventSteps(at, false, run.runId);
    yield* removalSteps(this.#database, run);
    yield* erasureSteps(this.#database, run);
  }

  async *#eventSteps(at: Date, dryRun: boolean, runId = this.#runtime.newId()): RetentionSteps {
    for (const task of this.#tasks()) {
      const batch = { runId, days: this.#days[task], eventDays: this.#days.events, limit: BATCH, dryRun, at };
      let after: string | null = BEFORE_ALL_IDS;
      while (after !== null) {
        const removed = await removeBatch(this.#database.db, task, { ...batch, after });
        yield removed;
        if (removed === undefined) return;
        after = removed.lastId;
      }
    }
  }

  /** What is kept as long as events goes with them. */
  #tasks(): RetentionTask[] {
    return retentionTasks.filter((task) => task === 'events' || this.#days[task] < this.#days.events);
  }
}
