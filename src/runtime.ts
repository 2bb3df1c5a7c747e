import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Everything the code takes from the machine it runs on. A test replaces the members it wants to control. */
export interface Runtime {
  /** Milliseconds since 1970, the wall clock. */
  now(): number;
  /** A new UUIDv7. */
  newId(): string;
  /** A number in [0, 1), for jitter. */
  random(): number;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  newId: () => v7({ rng: randomBytes16 }),
  random: () => Math.random(),
};

/** Random bytes for 256 ids at a time: asking the system for 16 takes longer than all the rest of an id (3.2 against 0.6 µs). */
const pool = new Uint8Array(16 * 256);
let used = pool.length;

function randomBytes16(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += 16;
  return pool.subarray(used - 16, used);
}
