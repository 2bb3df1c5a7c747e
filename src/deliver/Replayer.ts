import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import { listReplayLanes, type ReplayLane } from './store/listReplayLanes.ts';
import { releaseReplayLane } from './store/releaseReplayLane.ts';

/** A NOTIFY tells of a new replay at once; this covers the time when nobody listens. */
const POLL_MS = 1_000;
/** While a replay runs: workers empty its window, and its rate goes on, without telling. */
const TICK_MS = 100;
/** What a lane with fast receivers gets through between two ticks, and what a new event may have to wait behind. */
const WINDOW = 1_000;
const BATCH = 500;
const LOOK_AT = 5_000;

export interface ReplayerOptions {
  readonly database: Database;
  readonly observe: Observe;
}

/**
 * Hands the deliveries of replays to the workers, little by little. It holds nothing between two batches: any number of
 * processes share the work through the database alone, and when one dies the others go on where it was.
 */
export class Replayer {
  readonly #database: Database;
  readonly #observe: Observe;
  #stopped = true;
  /** Somebody may have begun a replay that the round under way has not seen. */
  #mayBeMore = false;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor({ database, observe }: ReplayerOptions) {
    this.#database = database;
    this.#observe = observe;
  }

  /** Resolves when it listens; replays that are running by then go on at once. */
  async start(): Promise<void> {
    this.#stopped = false;
    this.#stopListening = await this.#database.listen('moonguard_replays', () => this.#wake());
    this.#wake();
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#stopListening?.();
    await this.#round;
  }

  #wake(): void {
    this.#mayBeMore = true;
    if (this.#stopped || this.#round !== undefined) return;
    clearTimeout(this.#timer);
    this.#mayBeMore = false;
    this.#round = this.#release().then((pauseMs) => {
      this.#round = undefined;
      if (this.#stopped) return;
      if (this.#mayBeMore) this.#wake();
      else this.#timer = setTimeout(() => this.#wake(), pauseMs);
    });
  }

  /** A batch of every lane, in turn, for as long as one of them goes on; then how many milliseconds to wait. */
  async #release(): Promise<number> {
    try {
      let lanes = await listReplayLanes(this.#database.db);
      const pauseMs = lanes.length > 0 ? TICK_MS : POLL_MS;
      while (lanes.length > 0) lanes = await this.#releaseEach(lanes);
      return pauseMs;
    } catch (error) {
      this.#observe({ type: 'replay.release_failed', reason: databaseErrorReport(error).message });
      return POLL_MS;
    }
  }

  /** @returns the lanes that go on */
  async #releaseEach(lanes: readonly ReplayLane[]): Promise<ReplayLane[]> {
    const going: ReplayLane[] = [];
    for (const lane of lanes) {
      if (this.#stopped) return [];
      const bounds = { window: WINDOW, batch: BATCH, lookAt: LOOK_AT };
      const { released, goesOn, replayCompleted } = await releaseReplayLane(this.#database.db, lane, bounds);
      if (released > 0) this.#observe({ type: 'replay.released', ...lane, deliveries: released });
      if (replayCompleted) this.#observe({ type: 'replay.completed', replayId: lane.replayId });
      if (goesOn) going.push(lane);
    }
    return going;
  }
}
