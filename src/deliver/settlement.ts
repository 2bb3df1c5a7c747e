import type { Database } from '../database/database.ts';
import type { Observe } from '../observe/observation.ts';
import { type SettledDelivery, settleDeliveries } from './store/settleDeliveries.ts';

/** Results are written together: whichever comes first. */
const FLUSH_AFTER_MS = 50;
const FLUSH_AT_COUNT = 200;
const RETRY_AFTER_MS = 500;

/**
 * Collects results and writes them in batches. While the database is away they wait here; a result whose lease has
 * ended by then changes nothing, and its delivery is made again.
 */
export class Settlement {
  readonly #database: Database;
  readonly #observe: Observe;
  #results: SettledDelivery[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor({ database, observe }: { readonly database: Database; readonly observe: Observe }) {
    this.#database = database;
    this.#observe = observe;
  }

  add(result: SettledDelivery): void {
    this.#results.push(result);
    if (this.#results.length >= FLUSH_AT_COUNT) this.flushNow();
    else this.#timer ??= setTimeout(() => this.flushNow(), FLUSH_AFTER_MS);
  }

  flushNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#results.length === 0) return;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Writes what is left, once: whatever cannot be written now is delivered again by whoever leases it next. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    this.flushNow();
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#results.length > 0) {
      const batch = this.#results.splice(0, FLUSH_AT_COUNT);
      try {
        const settled = new Set(
          await this.#database.transaction((transaction) => settleDeliveries(transaction, batch)),
        );
        for (const result of batch) this.#observe(observationOf(result, settled.has(result.deliveryId)));
      } catch (error) {
        this.#observe({
          type: 'delivery.settle_failed',
          deliveries: batch.length,
          reason: error instanceof Error ? error.message : String(error),
        });
        if (this.#closed) return;
        this.#results.unshift(...batch);
        this.#timer ??= setTimeout(() => this.flushNow(), RETRY_AFTER_MS);
        return;
      }
    }
  }
}

function observationOf(result: SettledDelivery, settled: boolean): Parameters<Observe>[0] {
  const { deliveryId, endpointId, outcome, durationMs, errorClass = 'other', retryInMs = 0 } = result;
  if (!settled) return { type: 'delivery.lease_lost', deliveryId };
  switch (outcome) {
    case 'delivered':
      return { type: 'delivery.delivered', deliveryId, endpointId, durationMs };
    case 'retry':
      return { type: 'delivery.failed', deliveryId, endpointId, errorClass, nextAttemptInMs: retryInMs };
    case 'exhausted':
      return { type: 'delivery.exhausted', deliveryId, endpointId, errorClass };
    case 'held':
      return { type: 'delivery.held', deliveryId, endpointId, errorClass };
  }
}
