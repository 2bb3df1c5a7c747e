/**
 * Does something again and again: when it is woken, and after the pause that each round asks for. One round at a time; who
 * wakes it during one is sure of a further one.
 */
export class Rounds {
  readonly #round: () => Promise<number>;
  #isStopped = true;
  #current: Promise<void> | undefined;
  #nextAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** @param round does not reject; resolves to the pause before the next one, in milliseconds */
  constructor(round: () => Promise<number>) {
    this.#round = round;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  start(): void {
    this.#isStopped = false;
    this.wake();
  }

  /** Waits for the round under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#nextAtMs = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
    await this.#current;
  }

  /** Has the next round begin after so many milliseconds at the latest. */
  wake(withinMs = 0): void {
    const atMs = performance.now() + withinMs;
    if (this.#isStopped || atMs >= this.#nextAtMs) return;
    this.#nextAtMs = atMs;
    if (this.#current === undefined) this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    const pauseMs = this.#nextAtMs - performance.now();
    if (pauseMs <= 0) this.#begin();
    else this.#timer = setTimeout(() => this.#begin(), pauseMs);
  }

  #begin(): void {
    this.#nextAtMs = Number.POSITIVE_INFINITY;
    this.#current = this.#round().then((pauseMs) => {
      this.#current = undefined;
      if (this.#isStopped) return;
      this.#nextAtMs = Math.min(this.#nextAtMs, performance.now() + pauseMs);
      this.#wait();
    });
  }
}
