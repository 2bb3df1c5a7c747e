import type { BenchDatabase } from '../database.ts';
import type { LocalReceiver } from '../receiver.ts';
import type { Measurement } from '../rounds.ts';

/** What a variant of the latency bench is given: hand over `events` at a steady pace, each to arrive once. */
export interface LatencyScenario {
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly receiver: LocalReceiver;
  readonly database: BenchDatabase;
  /** Of the Redis that takes part, when one does. */
  readonly redisProcessId?: number | undefined;
}

/** One way to hand events over. */
export interface LatencyVariant {
  readonly name: string;
  /** Once. @param whole a round with as many events as there will be in any */
  readonly open: (whole: LatencyScenario) => Promise<(round: LatencyScenario) => Promise<Measurement>>;
}

/** Of the limit and the peers: more than are ever in use. */
export const CONNECTIONS = 64;
