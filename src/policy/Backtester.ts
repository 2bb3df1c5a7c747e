import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import { type BacktestDependencies, runBacktestBatch } from './runBacktestBatch.ts';

/** A NOTIFY tells of a new backtest at once; this covers the time when nobody listens, and one whose process died. */
const POLL_MS = 5_000;

export interface BacktesterOptions extends BacktestDependencies {
  readonly observe: Observe;
}

/**
 * Works on backtests, one batch after the other. It holds nothing between two: any number of processes share them through
 * the database alone, and when one dies another goes on where it was.
 */
export class Backtester {
  readonly #options: BacktesterOptions;
  #stopped = true;
  /** Somebody may have begun one that the round under way has not seen. */
  #mayBeMore = false;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(options: BacktesterOptions) {
    this.#options = options;
  }

  /** Resolves when it listens; backtests that are running by then go on at once. */
  async start(): Promise<void> {
    this.#stopped = false;
    this.#stopListening = await this.#options.database.listen('moonguard_backtests', () => this.#wake());
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
    this.#mayBeMore = false;
    this.#round = this.#work().then(() => {
      this.#round = undefined;
      if (this.#stopped) return;
      if (this.#mayBeMore) this.#wake();
      else this.#timer = setTimeout(() => this.#wake(), POLL_MS);
    });
  }

  async #work(): Promise<void> {
    const { observe } = this.#options;
    try {
      while (!this.#stopped) {
        const step = await runBacktestBatch(this.#options);
        if (step === undefined) return;
        observe(step);
      }
    } catch (error) {
      observe({ type: 'backtest.interrupted', reason: databaseErrorReport(error).message });
    }
  }
}
