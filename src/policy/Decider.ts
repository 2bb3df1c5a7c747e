import { databaseErrorReport } from '../database/databaseError.ts';
import { type DecideDependencies, decideBatch } from './decide.ts';

/** A NOTIFY wakes the decider at once; this covers the time when nobody listens, and retries what failed. */
const POLL_MS = 1_000;
/** Events in one transaction. */
const BATCH = 100;

/** Decides on stored events as they come. Any number of processes share the work through the database alone. */
export class Decider {
  readonly #dependencies: DecideDependencies;
  #stopped = true;
  /** There may be events that the round under way has not seen. */
  #mayBeMore = false;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(dependencies: DecideDependencies) {
    this.#dependencies = dependencies;
  }

  /** Resolves when it listens; what is undecided by then is decided at once. */
  async start(): Promise<void> {
    this.#stopped = false;
    this.#stopListening = await this.#dependencies.database.listen('moonguard_events', () => this.#wake());
    this.#wake();
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#stopListening?.();
    await this.#round;
  }

  #wake(): void {
    this.#mayBeMore = true;
    if (this.#stopped || this.#round !== undefined) return;
    clearTimeout(this.#timer);
    this.#round = this.#decideAll().finally(() => {
      this.#round = undefined;
      if (this.#stopped) return;
      if (this.#mayBeMore) this.#wake();
      else this.#timer = setTimeout(() => this.#wake(), POLL_MS);
    });
  }

  async #decideAll(): Promise<void> {
    try {
      while (this.#mayBeMore && !this.#stopped) {
        this.#mayBeMore = false;
        const decided = await decideBatch(this.#dependencies, BATCH);
        if (decided === BATCH) this.#mayBeMore = true;
      }
    } catch (error) {
      this.#dependencies.observe({ type: 'decide.failed', reason: databaseErrorReport(error).message });
    }
  }
}
