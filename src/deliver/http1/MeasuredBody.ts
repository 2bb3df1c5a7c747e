import type { KeptBody } from './KeptBody.ts';

/** A body of known length, or of `Infinity`: all that comes until the connection ends. */
export class MeasuredBody {
  readonly #kept: KeptBody;
  #remaining: number;

  constructor(length: number, kept: KeptBody) {
    this.#remaining = length;
    this.#kept = kept;
  }

  get state(): 'incomplete' | 'complete' {
    return this.#remaining === 0 ? 'complete' : 'incomplete';
  }

  get endsWithConnection(): boolean {
    return this.#remaining === Number.POSITIVE_INFINITY;
  }

  /** Reads from `at` on. @returns where it stopped: before the end of the bytes only when it is complete */
  read(bytes: Buffer, at: number): number {
    const to = Math.min(at + this.#remaining, bytes.length);
    this.#kept.append(bytes, at, to);
    this.#remaining -= to - at;
    return to;
  }
}
