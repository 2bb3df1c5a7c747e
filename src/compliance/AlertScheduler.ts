import type { Database } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import type { Observe } from '../observe/observation.ts';
import { runAlertSchedule } from './store/runAlertSchedule.ts';

/** How late a warning or an escalation may be. */
const EVERY_MS = 30_000;

/**
 * Has the database do what is due about alerts: deadlines, distribution, the archive. Of several processes one does it at
 * a time; it holds nothing between two runs, so that any other goes on where it was.
 */
export class AlertScheduler {
  readonly #database: Database;
  readonly #observe: Observe;
  #stopped = true;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ database, observe }: { readonly database: Database; readonly observe: Observe }) {
    this.#database = database;
    this.#observe = observe;
  }

  /** Does not wait for the first run: years of alerts may be due for the archive. */
  start(): void {
    this.#stopped = false;
    this.#running = this.#run();
  }

  /** Finishes the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped && (await this.#runOnce()));
    } catch (error) {
      this.#observe({ type: 'alert_schedule.failed', reason: neutralReason(error) });
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, EVERY_MS);
  }

  /** @returns whether there is more to do at once */
  async #runOnce(): Promise<boolean> {
    const { isLeader, failure, more, ...done } = await runAlertSchedule(this.#database.db);
    if (failure !== null) this.#observe({ type: 'alert_schedule.failed', reason: failure });
    if (isLeader) this.#observe({ type: 'alert_schedule.ran', ...done });
    return more;
  }
}
