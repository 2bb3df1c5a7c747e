import type { Database } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import type { Observe } from '../observe/observation.ts';
import { expireApprovals } from './store/expireApprovals.ts';
import { removeOldEventFacts } from './store/removeOldEventFacts.ts';

/** How late an approval may expire: nobody can grant it after its time in any case. */
const EVERY_MS = 60_000;

/** Ends approvals that nobody decided in time, and drops the facts of events that no window reaches any more. Several processes may do it at once. */
export class PolicyKeeper {
  readonly #database: Database;
  readonly #observe: Observe;
  #stopped = true;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ database, observe }: { readonly database: Database; readonly observe: Observe }) {
    this.#database = database;
    this.#observe = observe;
  }

  /** Does not wait for the first run. */
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
      for (const work of [expireApprovals, removeOldEventFacts]) {
        while (!this.#stopped && (await work(this.#database.db)) > 0);
      }
    } catch (error) {
      this.#observe({ type: 'policy_upkeep.failed', reason: neutralReason(error) });
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, EVERY_MS);
  }
}
