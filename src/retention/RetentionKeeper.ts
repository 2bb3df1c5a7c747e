import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import type { RetentionService } from './RetentionService.ts';

const EVERY_MS = 60 * 60 * 1000;

/** Runs retention at the start and every hour. Of several processes one does it; the others find nothing left. */
export class RetentionKeeper {
  readonly #retention: Pick<RetentionService, 'run'>;
  readonly #observe: Observe;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor({
    retention,
    observe,
  }: { readonly retention: Pick<RetentionService, 'run'>; readonly observe: Observe }) {
    this.#retention = retention;
    this.#observe = observe;
  }

  /** Does not wait for the first run: years of history may be due. */
  start(): void {
    this.#timer = setInterval(() => this.#begin(), EVERY_MS);
    this.#begin();
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#running;
  }

  #begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    try {
      const { status, ...removed } = await this.#retention.run({ signal: this.#stopping.signal });
      this.#observe({ type: 'retention.ran', status, ...removed });
    } catch (error) {
      this.#observe({ type: 'retention.failed', reason: databaseErrorReport(error).message });
    }
  }
}
