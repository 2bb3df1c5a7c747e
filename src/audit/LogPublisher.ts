import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { MoonguardError } from '../errors.ts';
import { Rounds } from '../jobs/Rounds.ts';
import type { Observe } from '../observe/observation.ts';
import type { AuditService } from './AuditService.ts';
import { publishLog } from './publishLog.ts';

/** How much later than signed a checkpoint is published, at most. */
const PAUSE_MS = 1_000;
/** What stands in the way is mostly for somebody to put right. */
const PAUSE_AFTER_FAILURE_MS = 30_000;

export interface LogPublisherOptions {
  readonly database: Database;
  readonly observe: Observe;
  readonly audit: AuditService;
  readonly folder: string;
}

/** Keeps a folder at the newest checkpoint. Processes may share one: they take turns. */
export class LogPublisher {
  readonly #options: LogPublisherOptions;
  readonly #rounds = new Rounds(() => this.#publish());

  constructor(options: LogPublisherOptions) {
    this.#options = options;
  }

  start(): void {
    this.#rounds.start();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #publish(): Promise<number> {
    const { database, observe, audit, folder } = this.#options;
    try {
      const size = await publishLog(folder, { database, audit });
      if (size !== undefined) observe({ type: 'audit.published', size });
    } catch (error) {
      if (!(error instanceof MoonguardError) || error.code !== 'audit_checkpoint_missing') {
        observe({ type: 'audit.publish_failed', reason: databaseErrorReport(error).message });
        return PAUSE_AFTER_FAILURE_MS;
      }
    }
    return PAUSE_MS;
  }
}
