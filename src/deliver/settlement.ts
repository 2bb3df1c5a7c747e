import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { isUnavailable } from '../database/unavailable.ts';
import type { Observe } from '../observe/observation.ts';
import type { BreakerSettings } from './breaker.ts';
import { type SettledDelivery, type Settlements, settleDeliveries } from './store/settleDeliveries.ts';

/** Results are written together, when so many have come or the first of them so long ago. */
const FULL_BATCH = 250;
const FLUSH_AFTER_MS = 50;
/** So many do not wait for company when none is on its way. A few do: the next event may come at any moment. */
const WORTH_WRITING = 16;
const LARGEST_BATCH = 1_000;
const RETRY_AFTER_MS = 500;

export interface SettlementDependencies {
  readonly database: Database;
  readonly observe: Observe;
  readonly breaker: BreakerSettings;
}

export interface SettlementListener {
  /** Whether no request is under way. */
  readonly isIdle: () => boolean;
  /** Something will be due again in so many milliseconds. */
  readonly onDueAgainIn: (delayMs: number) => void;
  /** Endpoints that are not active, or were not before. */
  readonly onEndpoints: (endpoints: Settlements['endpoints']) => void;
}

/**
 * Collects results and writes them in batches. While the database is away they wait here; a result whose lease has
 * ended by then changes nothing, and its delivery is made again.
 */
export class Settlement {
  readonly #dependencies: SettlementDependencies;
  readonly #listener: SettlementListener;
  #results: SettledDelivery[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isWriting = false;
  /** Nothing is written before the timer ends. */
  #isDatabaseAway = false;
  /** The next delivery of some entity waits for one of the results. */
  #isAwaited = false;
  #written: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(dependencies: SettlementDependencies, listener: SettlementListener) {
    this.#dependencies = dependencies;
    this.#listener = listener;
  }

  add(result: SettledDelivery): void {
    this.#results.push(result);
    if (result.isOrdered) this.#isAwaited = true;
    this.#schedule(FLUSH_AFTER_MS);
  }

  /** No request is under way any more. */
  onIdle(): void {
    this.#schedule(FLUSH_AFTER_MS);
  }

  /** Writes what is left, once: whatever cannot be written now is delivered again by whoever leases it next. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#written;
    this.#flush();
    await this.#written;
  }

  #schedule(delayMs: number): void {
    if (this.#isWriting || this.#isDatabaseAway || this.#results.length === 0) return;
    const fullAt = this.#listener.isIdle() ? WORTH_WRITING : FULL_BATCH;
    if (this.#results.length >= fullAt || this.#isAwaited) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), delayMs);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting || this.#results.length === 0) return;
    this.#isDatabaseAway = false;
    this.#isWriting = true;
    this.#written = this.#write().finally(() => {
      this.#isWriting = false;
      this.#schedule(FLUSH_AFTER_MS);
    });
  }

  /** What is added while it writes waits for the next batch: a small one costs nearly as much as a large one. */
  async #write(): Promise<void> {
    do {
      this.#isAwaited = false;
      const batch = this.#results.splice(0, LARGEST_BATCH);
      if (await this.#writeBatch(batch)) continue;
      if (this.#closed) return;
      this.#results.unshift(...batch);
      this.#isDatabaseAway = true;
      this.#timer = setTimeout(() => this.#flush(), RETRY_AFTER_MS);
      return;
    } while (this.#closed && this.#results.length > 0);
  }

  /** False when the database is away. A result that it refuses is dropped: its delivery is made again. */
  async #writeBatch(batch: readonly SettledDelivery[]): Promise<boolean> {
    const { database, observe, breaker } = this.#dependencies;
    try {
      const { lost, endpoints } = await settleDeliveries(database.db, batch, breaker);
      observe({ type: 'delivery.settled', deliveries: batch.length });
      for (const result of batch) {
        observe(observationOf(result, lost.has(result.deliveryId)));
        if (result.isOrdered) this.#listener.onDueAgainIn(0);
        else if (result.outcome === 'retry') this.#listener.onDueAgainIn(result.retryInMs ?? 0);
      }
      if (endpoints.length > 0) this.#report(endpoints);
      return true;
    } catch (error) {
      const reason = databaseErrorReport(error).message;
      observe({ type: 'delivery.settle_failed', deliveries: batch.length, reason });
      if (isUnavailable(error)) return false;
      if (batch.length > 1) for (const result of batch) if (!(await this.#writeBatch([result]))) return false;
      return true;
    }
  }

  #report(endpoints: Settlements['endpoints']): void {
    for (const { endpointId, status, changedBecause } of endpoints) {
      if (changedBecause === null) continue;
      this.#dependencies.observe({ type: 'endpoint.status_changed', endpointId, status, reason: changedBecause });
    }
    this.#listener.onEndpoints(endpoints);
  }
}

function observationOf(result: SettledDelivery, isLost: boolean): Parameters<Observe>[0] {
  const { deliveryId, endpointId } = result;
  if (isLost) return { type: 'delivery.lease_lost', deliveryId };
  if (result.outcome === 'filtered') return { type: 'delivery.filtered', deliveryId, endpointId };
  const { outcome, durationMs, errorClass = 'other', retryInMs = 0 } = result;
  switch (outcome) {
    case 'delivered':
      return { type: 'delivery.delivered', deliveryId, endpointId, durationMs };
    case 'retry':
      return { type: 'delivery.failed', deliveryId, endpointId, errorClass, nextAttemptInMs: retryInMs };
    case 'exhausted':
      return { type: 'delivery.exhausted', deliveryId, endpointId, errorClass };
    case 'held':
      return { type: 'delivery.held', deliveryId, endpointId, errorClass };
    case 'resend_failed':
      return { type: 'delivery.resend_failed', deliveryId, endpointId, errorClass };
  }
}
