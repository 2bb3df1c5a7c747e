import type { Database } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { MoonguardError } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';
import type { ProviderKeySecret } from './verifySignature.ts';

/** A change reaches other processes by NOTIFY at once; through a pooler, which swallows it, after at most this time. */
const MAX_AGE_MS = 5_000;
/** A reading that takes longer has failed: MoonPay waits 5 s, and what hangs must not hang every webhook. */
const READ_WITHIN_MS = 2_000;

export type KeysByEnvironment = Readonly<Record<Environment, readonly ProviderKeySecret[]>>;

/** The keys in memory, so that verifying a request asks the database every few seconds only. */
export class ProviderKeyCache {
  readonly #database: Database;
  readonly #runtime: Pick<Runtime, 'now'>;
  readonly #read: () => Promise<KeysByEnvironment>;
  /** Read, or being read; undefined when there is nothing, or something changed since. */
  #keys: Promise<KeysByEnvironment> | undefined;
  #freshUntilMs = 0;
  #lastRead: KeysByEnvironment | undefined;
  #listening: Promise<() => Promise<void>> | undefined;

  constructor(database: Database, runtime: Pick<Runtime, 'now'>, read: () => Promise<KeysByEnvironment>) {
    this.#database = database;
    this.#runtime = runtime;
    this.#read = read;
  }

  /** @throws MoonguardError database_unavailable when the keys were never read and cannot be now */
  async current(environment: Environment): Promise<readonly ProviderKeySecret[]> {
    const now = this.#runtime.now();
    if (this.#keys === undefined || now >= this.#freshUntilMs) {
      this.#keys = this.#readOrKeep();
      this.#freshUntilMs = now + MAX_AGE_MS;
    }
    return (await this.#keys)[environment];
  }

  /** Whoever asks next reads again: what is being read at this moment may be from before the change. */
  invalidate(): void {
    this.#keys = undefined;
  }

  async close(): Promise<void> {
    const stopListening = await this.#listening?.catch(() => undefined);
    await stopListening?.();
  }

  async #readOrKeep(): Promise<KeysByEnvironment> {
    try {
      const read = await inTime(Promise.all([this.#read(), this.#listen()]));
      if (read === 'late') return this.#keep();
      this.#lastRead = read[0];
      return read[0];
    } catch (error) {
      if (isUnavailable(error)) return this.#keep(error);
      this.invalidate();
      throw error;
    }
  }

  /** Without a database nothing can be stored, so old keys let nothing in; they spare the sender a 401 for our fault. */
  #keep(cause?: unknown): KeysByEnvironment {
    if (this.#lastRead !== undefined) return this.#lastRead;
    this.invalidate();
    throw new MoonguardError('database_unavailable', 'The webhook keys cannot be read.', { cause });
  }

  async #listen(): Promise<void> {
    this.#listening ??= this.#database.listen('moonguard_provider_keys', () => this.invalidate());
    try {
      await this.#listening;
    } catch {
      // The age of the keys covers for it until the next attempt.
      this.#listening = undefined;
    }
  }
}

async function inTime<T>(work: Promise<T>): Promise<T | 'late'> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => resolve('late'), READ_WITHIN_MS);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
