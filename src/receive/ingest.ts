import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { MoonguardError } from '../errors.ts';
import {
  type IncomingEvent,
  type LeaseTerms,
  type StoredEvent,
  type StoreTerms,
  storeEvents,
} from './store/storeEvents.ts';

/** Events in one batch. Larger ones gain nothing and make a failure dearer. */
const LARGEST_BATCH = 200;
/** Bytes of bodies in one batch, unless a single one has more. */
const LARGEST_BATCH_BYTES = 4 * 1_048_576;
/** Events that wait for their turn or are being stored; beyond it the sender is asked to come back. About 2 s of work. */
const MOST_EVENTS = 10_000;
/** The same in bytes of their bodies: what keeps the memory flat when bodies are large. */
const MOST_BYTES = 64 * 1_048_576;
/** By then everybody who waited for the batch has been answered: if its connection hangs, others go on without it. */
const ABANDONED_AFTER_MS = 5_000;
/** Attempts at a batch that met another one at the same rows. */
const MOST_ATTEMPTS = 3;

interface Waiting {
  readonly event: IncomingEvent;
  readonly resolve: (stored: StoredEvent) => void;
  readonly reject: (error: unknown) => void;
}

/** An event on its way: `stored` resolves when it is committed, or known to be a duplicate of a committed one. */
export interface Ingested {
  readonly stored: Promise<StoredEvent>;
  /** Whoever asked has been answered: the event leaves the queue unless it is being stored already. */
  readonly withdraw: () => void;
}

/** The worker of this process offers to take deliveries as they are stored, without a claim. */
export interface LeaseOffer extends LeaseTerms {
  /** What was leased of an event, after the commit; events come in the order of arrival. */
  readonly take: (event: IncomingEvent, leased: StoredEvent['leased']) => void;
}

/** What else this process does, and so hears of here instead of by a notification, which every commit would pay for. */
export interface LocalStages {
  /** What a worker in this process takes now; undefined for nothing. */
  readonly offerLease?: () => LeaseOffer | undefined;
  readonly decider?: { readonly isRunning: boolean; readonly onStored: () => void };
}

/**
 * Stores events in continuous batches: whatever has arrived while a batch commits goes into the next one, so the first
 * waits for nobody and a crowd shares one commit. No timer delays anything.
 */
export class Ingest {
  readonly #database: Database;
  readonly #stages: LocalStages;
  readonly #maxBatchesInFlight: number;
  readonly #waiting = new Set<Waiting>();
  #batchesInFlight = 0;
  #events = 0;
  #bytes = 0;

  constructor(database: Database, stages: LocalStages = {}) {
    this.#database = database;
    this.#stages = stages;
    // The embedded database is one session. On PostgreSQL a second batch is prepared while the first one commits.
    this.#maxBatchesInFlight = database.kind === 'embedded' ? 1 : 2;
  }

  /** @throws MoonguardError database_unavailable when too much waits already; may be asked before a body is read */
  refuseWhenFull(): void {
    if (this.#events >= MOST_EVENTS || this.#bytes >= MOST_BYTES) {
      throw new MoonguardError('database_unavailable', 'Too many events wait to be stored.');
    }
  }

  /** @throws MoonguardError database_unavailable when too much waits already */
  store(event: IncomingEvent): Ingested {
    this.refuseWhenFull();
    const { promise, resolve, reject } = Promise.withResolvers<StoredEvent>();
    const waiting = { event, resolve, reject };
    this.#waiting.add(waiting);
    this.#count(event, 1);
    this.#next();
    return {
      stored: promise,
      withdraw: () => {
        if (this.#waiting.delete(waiting)) this.#count(event, -1);
      },
    };
  }

  #count({ rawBody }: IncomingEvent, sign: 1 | -1): void {
    this.#events += sign;
    this.#bytes += sign * rawBody.byteLength;
  }

  #next(): void {
    if (this.#waiting.size === 0 || this.#batchesInFlight >= this.#maxBatchesInFlight) return;
    this.#batchesInFlight++;
    // The embedded database works in this thread: unless what has come in meanwhile is read first, every batch is one event.
    if (this.#database.kind === 'embedded') setImmediate(() => this.#begin(this.#takeBatch()));
    else this.#begin(this.#takeBatch());
  }

  #begin(batch: readonly Waiting[]): void {
    let isUnderWay = true;
    const endTurn = (): void => {
      if (!isUnderWay) return;
      isUnderWay = false;
      this.#batchesInFlight--;
      this.#next();
    };
    if (batch.length === 0) return endTurn();
    const timer = setTimeout(endTurn, ABANDONED_AFTER_MS);
    void this.#storeBatch(batch).finally(() => {
      clearTimeout(timer);
      for (const { event } of batch) this.#count(event, -1);
      endTurn();
    });
  }

  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let bytes = 0;
    for (const waiting of this.#waiting) {
      bytes += waiting.event.rawBody.byteLength;
      if (batch.length > 0 && (batch.length === LARGEST_BATCH || bytes > LARGEST_BATCH_BYTES)) break;
      batch.push(waiting);
      this.#waiting.delete(waiting);
    }
    return batch;
  }

  async #storeBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const offer = this.#stages.offerLease?.();
      const decider = this.#stages.decider?.isRunning ? this.#stages.decider : undefined;
      const stored = await this.#storeOrRepeat(
        batch.map(({ event }) => event),
        { lease: offer, isDecidedHere: decider !== undefined },
      );
      for (const [place, { event, resolve, reject }] of batch.entries()) {
        const result = stored[place];
        if (result === undefined) reject(new Error('storeEvents returned fewer results than events'));
        else {
          resolve(result);
          offer?.take(event, result.leased);
        }
      }
      decider?.onStored();
    } catch (error) {
      // One event that the database refuses must not take the others down with it.
      if (batch.length > 1 && !isUnavailable(error)) {
        for (const single of batch) await this.#storeBatch([single]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  /** One statement, and so one transaction: after a failure nothing of it is there. */
  async #storeOrRepeat(events: readonly IncomingEvent[], terms: StoreTerms, attempt = 1): Promise<StoredEvent[]> {
    try {
      return await storeEvents(this.#database.db, events, terms);
    } catch (error) {
      if (attempt === MOST_ATTEMPTS || !metAnother(error)) throw error;
      return this.#storeOrRepeat(events, terms, attempt + 1);
    }
  }
}

/** serialization_failure and deadlock_detected: PostgreSQL asks for the same again. */
function metAnother(error: unknown): boolean {
  const { code } = databaseErrorReport(error);
  return code === '40001' || code === '40P01';
}
