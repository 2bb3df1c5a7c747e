import type { ErrorCode } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';

/** How many webhooks were refused since the process began, by environment and reason. */
export type RejectionCounts = Readonly<Record<Environment, Readonly<Partial<Record<ErrorCode, number>>>>>;

/** Counts in memory: a sender of bad requests makes no rows. */
export class Rejections {
  readonly #counts: Record<Environment, Partial<Record<ErrorCode, number>>> = { sandbox: {}, production: {} };

  get counts(): RejectionCounts {
    return structuredClone(this.#counts);
  }

  count(environment: Environment, code: ErrorCode): void {
    const counts = this.#counts[environment];
    counts[code] = (counts[code] ?? 0) + 1;
  }
}
