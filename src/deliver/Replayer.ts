import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { Rounds } from '../jobs/Rounds.ts';
import type { Observe } from '../observe/observation.ts';
import { listReplayLanes, type ReplayLane } from './store/listReplayLanes.ts';
import { type Released, releaseReplayLane } from './store/releaseReplayLane.ts';

/** A NOTIFY tells of a new replay at once; this covers the time when nobody listens. */
const POLL_MS = 1_000;
/** While a replay gets on: workers make room, and its rate goes on, without telling. Twice as long after every look in vain. */
const SHORTEST_PAUSE_MS = 50;
/** What a lane with fast receivers gets through between two looks, and what a new event may have to wait behind. */
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
  readonly #rounds = new Rounds(() => this.#round());
  #pauseMs = POLL_MS;
  #stopListening: (() => Promise<void>) | undefined;

  constructor({ database, observe }: ReplayerOptions) {
    this.#database = database;
    this.#observe = observe;
  }

  /** Resolves when it listens; replays that are running by then go on at once. */
  async start(): Promise<void> {
    this.#stopListening = await this.#database.listen('moonguard_replays', () => {
      this.#pauseMs = SHORTEST_PAUSE_MS;
      this.#rounds.wake();
    });
    this.#rounds.start();
  }

  /** Finishes the batch under way. */
  async stop(): Promise<void> {
    await Promise.all([this.#rounds.stop(), this.#stopListening?.()]);
  }

  async #round(): Promise<number> {
    const gotOn = await this.#release();
    this.#pauseMs = gotOn ? SHORTEST_PAUSE_MS : Math.min(this.#pauseMs * 2, POLL_MS);
    return this.#pauseMs;
  }

  /** A batch of every lane, in turn, for as long as one of them goes on. @returns whether anything was released */
  async #release(): Promise<boolean> {
    let gotOn = false;
    try {
      let lanes = await listReplayLanes(this.#database.db);
      while (lanes.length > 0) {
        const going: ReplayLane[] = [];
        for (const lane of lanes) {
          if (this.#rounds.isStopped) return gotOn;
          const { released, goesOn } = await this.#releaseBatch(lane);
          gotOn ||= released > 0;
          if (goesOn) going.push(lane);
        }
        lanes = going;
      }
    } catch (error) {
      this.#observe({ type: 'replay.release_failed', reason: databaseErrorReport(error).message });
    }
    return gotOn;
  }

  async #releaseBatch(lane: ReplayLane): Promise<Released> {
    const batch = await releaseReplayLane(this.#database.db, lane, { window: WINDOW, batch: BATCH, lookAt: LOOK_AT });
    if (batch.released > 0) this.#observe({ type: 'replay.released', ...lane, deliveries: batch.released });
    if (batch.replayCompleted) this.#observe({ type: 'replay.completed', replayId: lane.replayId });
    return batch;
  }
}
