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
  newId: () => v7(),
  random: () => Math.random(),
};
