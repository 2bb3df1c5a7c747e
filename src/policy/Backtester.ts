import { databaseErrorReport } from '../database/databaseError.ts';
import { Rounds } from '../jobs/Rounds.ts';
import type { Observe } from '../observe/observation.ts';
import { type BacktestDependencies, runBacktestBatch } from './runBacktestBatch.ts';

/** A NOTIFY tells of a new backtest at once; this covers the time when nobody listens, and one whose process died. */
const POLL_MS = 10_000;

export interface BacktesterOptions extends BacktestDependencies {
  readonly observe: Observe;
}

/**
 * Works on backtests, one batch after the other. It holds nothing between two: any number of processes share them through
 * the database alone, and when one dies another goes on where it was.
 */
export class Backtester {
  readonly #options: BacktesterOptions;
  readonly #rounds = new Rounds(() => this.#work());
  #stopListening: (() => Promise<void>) | undefined;

  constructor(options: BacktesterOptions) {
    this.#options = options;
  }

  /** Resolves when it listens; backtests that are running by then go on at once. */
  async start(): Promise<void> {
    this.#stopListening = await this.#options.database.listen('moonguard_backtests', () => this.#rounds.wake());
    this.#rounds.start();
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    await Promise.all([this.#rounds.stop(), this.#stopListening?.()]);
  }

  async #work(): Promise<number> {
    const { observe } = this.#options;
    try {
      while (!this.#rounds.isStopped) {
        const step = await runBacktestBatch(this.#options);
        if (step === undefined) break;
        observe(step);
      }
    } catch (error) {
      observe({ type: 'backtest.interrupted', reason: databaseErrorReport(error).message });
    }
    return POLL_MS;
  }
}
