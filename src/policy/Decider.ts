import { databaseErrorReport } from '../database/databaseError.ts';
import type { Runtime } from '../runtime.ts';
import { type DecideDependencies, decideBatch } from './decide.ts';

/** It is told of new events; this covers the time when nobody listens, and retries what failed. */
const POLL_MS = 1_000;
/** What comes within this time is decided together: a transaction for each of 200 events a second would cost more than they do. */
const GATHER_MS = 100;
/** Events in one transaction. */
const BATCH = 100;

export interface DeciderDependencies extends DecideDependencies {
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
}

/** Decides on stored events as they come. Any number of processes share the work through the database alone. */
export class Decider {
  readonly #dependencies: DeciderDependencies;
  #stopped = true;
  /** There may be events that the round under way has not seen. */
  #mayBeMore = false;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wakesAtMs = Number.POSITIVE_INFINITY;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(dependencies: DeciderDependencies) {
    this.#dependencies = dependencies;
  }

  /** Resolves when it listens; what is undecided by then is decided at once. */
  async start(): Promise<void> {
    this.#stopped = false;
    this.#stopListening = await this.#dependencies.database.listen('moonguard_events', () => this.onStored());
    clearTimeout(this.#timer);
    this.#decide();
  }

  get isRunning(): boolean {
    return !this.#stopped;
  }

  /** There are new events. Whoever stores them in this process calls it; other processes notify. */
  onStored(): void {
    this.#wakeIn(GATHER_MS);
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#stopListening?.();
    await this.#round;
  }

  /** Decides on what is there by then, or once the round under way is over. */
  #wakeIn(delayMs: number): void {
    if (this.#round !== undefined) this.#mayBeMore = true;
    if (this.#stopped || this.#round !== undefined) return;
    const wakesAtMs = this.#dependencies.runtime.now() + delayMs;
    if (wakesAtMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = wakesAtMs;
    this.#timer = setTimeout(() => this.#decide(), delayMs);
  }

  #decide(): void {
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    this.#mayBeMore = false;
    this.#round = this.#decideAll().finally(() => {
      this.#round = undefined;
      this.#wakeIn(this.#mayBeMore ? GATHER_MS : POLL_MS);
    });
  }

  async #decideAll(): Promise<void> {
    try {
      while (!this.#stopped && (await decideBatch(this.#dependencies, BATCH)) === BATCH);
    } catch (error) {
      this.#dependencies.observe({ type: 'decide.failed', reason: databaseErrorReport(error).message });
    }
  }
}
