import type { ChildProcess } from 'node:child_process';
import type { Observe } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';

const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** A process that lived as long has nothing to do with how the one before it ended. */
const LIVED_MS = 60_000;
/** A worker ends itself after 10 s; this is for one that does not get round to it. */
const KILL_AFTER_MS = 15_000;

export interface SupervisorOptions {
  readonly processes: number;
  /** Starts one process. */
  readonly fork: () => ChildProcess;
  readonly observe: Observe;
  readonly runtime: Pick<Runtime, 'now'>;
}

/** Keeps a number of processes running: one that ends is started again, the later the more often it ends. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #restarts = new Set<NodeJS.Timeout>();
  #stopping = false;
  #endedCleanly = true;
  #onAllEnded: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get children(): ReadonlySet<ChildProcess> {
    return this.#children;
  }

  start(): void {
    for (let n = 0; n < this.#options.processes; n++) this.#fork(FIRST_RESTART_MS);
  }

  /** Ends all; true when each finished what was under way. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    for (const restart of this.#restarts) clearTimeout(restart);
    const allEnded = new Promise<void>((resolve) => {
      this.#onAllEnded = resolve;
    });
    if (this.#children.size === 0) return true;
    for (const child of this.#children) child.kill('SIGTERM');
    const impatient = setTimeout(() => this.kill(), KILL_AFTER_MS);
    await allEnded;
    clearTimeout(impatient);
    return this.#endedCleanly;
  }

  /** Ends all at once. */
  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  /** @param restartInMs how long to wait before it is started again, should it end soon */
  #fork(restartInMs: number): void {
    const { fork, observe, runtime } = this.#options;
    const startedAtMs = runtime.now();
    const child = fork();
    this.#children.add(child);
    let over = false;
    const onEnd = (isClean: boolean, reason: string): void => {
      if (over) return;
      over = true;
      this.#children.delete(child);
      if (this.#stopping) {
        if (!isClean) this.#endedCleanly = false;
        if (this.#children.size === 0) this.#onAllEnded?.();
        return;
      }
      const delayMs = runtime.now() - startedAtMs > LIVED_MS ? FIRST_RESTART_MS : restartInMs;
      observe({ type: 'worker.ended', processId: child.pid, reason, restartInMs: delayMs });
      this.#forkIn(delayMs);
    };
    // SIGTERM ends only a process that has not begun to listen for it, nor to work.
    child.once('exit', (code, signal) => onEnd(code === 0 || signal === 'SIGTERM', signal ?? `exit code ${code}`));
    // The system may have no room for another process: there is no exit then.
    child.once('error', (error) => {
      if (child.pid === undefined) onEnd(false, error.message);
    });
  }

  #forkIn(delayMs: number): void {
    const restart = setTimeout(() => {
      this.#restarts.delete(restart);
      this.#fork(Math.min(delayMs * 2, LONGEST_RESTART_MS));
    }, delayMs);
    this.#restarts.add(restart);
  }
}
