import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { MoonguardError } from '../errors.ts';
import { Rounds } from '../jobs/Rounds.ts';
import type { Observe } from '../observe/observation.ts';
import { MAXIMUM_MERGE_DELAY_MS } from './mergeDelay.ts';
import { sequenceBatch } from './sequenceBatch.ts';
import type { Signer } from './signedNote.ts';
import { hasQueuedRows } from './store/hasQueuedRows.ts';
import { resignFromLog } from './store/leadLog.ts';
import type { TreeEdge } from './treeEdge.ts';

/** How long a row may wait for a signature while there is little to do. A NOTIFY of every commit would slow the writers. */
const PAUSE_MS = 250;
/** How often a process that does not lead looks whether it should. */
const WAITING_PAUSE_MS = 1_000;
/** After a process that led has been killed, another one goes on after this time. */
const LEASE_MS = 10_000;

export interface SequencerOptions {
  readonly database: Database;
  readonly observe: Observe;
  readonly signer: Signer;
  /** The key that the log is signed with by now, when it is another one. */
  readonly findSigner?: (() => Promise<Signer | undefined>) | undefined;
  /** Of this process: a UUID. */
  readonly leader: string;
}

/** Puts rows of the policy log into the tree, in batches. Of several processes one does it, the others wait. */
export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #observe: Observe;
  readonly #rounds = new Rounds(() => this.#sequence());
  #signer: Signer;
  #edge: TreeEdge | undefined;

  constructor({ observe, ...options }: SequencerOptions) {
    this.#options = { ...options, observe };
    this.#observe = observe;
    this.#signer = options.signer;
  }

  start(): void {
    this.#rounds.start();
  }

  /** Finishes the batch under way, and signs what was logged since in one more. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
    try {
      await this.#nextBatch();
      await resignFromLog(this.#options.database.db, this.#options.leader);
    } catch (error) {
      // Another process waits for the end of the lease then.
      this.#failed(error);
    }
  }

  /** @returns for how long there is nothing to do */
  async #sequence(): Promise<number> {
    try {
      let pauseMs: number | undefined;
      while (!this.#rounds.isStopped && pauseMs === undefined) pauseMs = await this.#nextBatch();
      return pauseMs ?? PAUSE_MS;
    } catch (error) {
      // Whether the last commit came through is not known.
      this.#edge = undefined;
      this.#failed(error);
      return WAITING_PAUSE_MS;
    }
  }

  /** @returns for how long there is nothing to do; undefined: there may be more */
  async #nextBatch(): Promise<number | undefined> {
    if (!(await hasQueuedRows(this.#options.database.db))) return PAUSE_MS;
    const batch = await sequenceBatch({ ...this.#options, signer: this.#signer, leaseMs: LEASE_MS }, this.#edge);
    if (batch.outcome === 'waiting') return WAITING_PAUSE_MS;
    if (batch.outcome === 'retired') {
      this.#signer = await this.#changedSigner();
      return undefined;
    }
    const { edge, isFull, leaves, waitedMs } = batch;
    this.#edge = edge;
    if (leaves > 0) this.#observe({ type: 'audit.sequenced', leaves, size: Number(edge.size), waitedMs });
    if (waitedMs > MAXIMUM_MERGE_DELAY_MS) this.#observe({ type: 'audit.delayed', waitedMs });
    return isFull ? undefined : PAUSE_MS;
  }

  async #changedSigner(): Promise<Signer> {
    const signer = await this.#options.findSigner?.();
    if (signer !== undefined && signer !== this.#signer) return signer;
    throw new MoonguardError('log_key_mismatch', 'The log is signed with another key by now.');
  }

  #failed(error: unknown): void {
    this.#observe({ type: 'audit.sequence_failed', reason: databaseErrorReport(error).message });
  }
}
