import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';
import type { EndpointSecrets } from '../webhooks/endpointSecrets.ts';
import { attempt, type ReadyDelivery } from './attempt.ts';
import type { Sender } from './send.ts';
import { Settlement } from './settlement.ts';
import type { EndpointSecretKey } from './sign.ts';
import { type ClaimedDelivery, claimDueDeliveries } from './store/claimDueDeliveries.ts';
import { findEndpoints } from './store/findEndpoints.ts';
import { findNextDueTime } from './store/findNextDueTime.ts';
import { giveBackDeliveries } from './store/giveBackDeliveries.ts';

/** A NOTIFY wakes the worker at once; this covers the time when nobody listens, or a pooler swallows it. */
const POLL_MS = 1_000;
/** Deliveries that wait in line for each slot: enough to keep it busy while the next claim runs. */
const CLAIMED_PER_SLOT = 4;
/** Leased beyond an endpoint's timeout: the longest a delivery may wait in this process, and to be settled. */
const DEFAULT_LEASE_MS = 15_000;

export interface DeliveryWorkerOptions {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly observe: Observe;
  readonly sender: Sender;
  readonly endpointSecrets: Pick<EndpointSecrets, 'keysFor'>;
  /** Requests in flight at a time. */
  readonly concurrency: number;
  readonly leaseMs?: number;
}

interface Leased extends ReadyDelivery {
  /** After this it is not begun any more: the lease might end before its result is written. */
  readonly beginBeforeMs: number;
}

/**
 * Delivers what is due, as a stream: a free slot takes the next delivery, the next claim runs while slots are busy, and
 * nobody waits for the slowest of a batch. Any number of workers share the work through the database alone.
 */
export class DeliveryWorker {
  readonly #options: DeliveryWorkerOptions;
  readonly #leaseMs: number;
  readonly #settlement: Settlement;
  readonly #leased: Leased[] = [];
  #inFlight = 0;
  #claiming: Promise<void> | undefined;
  /** Something may have become due since the last claim began. */
  #mayBeDue = false;
  #timer: NodeJS.Timeout | undefined;
  #wakesAtMs = Number.POSITIVE_INFINITY;
  #stopListening: (() => Promise<void>) | undefined;
  #stopped = true;
  #onIdle: (() => void) | undefined;

  constructor(options: DeliveryWorkerOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    this.#settlement = new Settlement(options, (delayMs) => this.#wakeIn(delayMs));
  }

  async start(): Promise<void> {
    this.#stopped = false;
    this.#stopListening = await this.#options.database.listen('moonguard_deliveries', () => this.#wake());
    this.#wake();
  }

  /** Takes nothing new, waits for the requests in flight and for their results to be written. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#stopListening?.();
    await this.#claiming;
    await this.#giveBack(this.#leased.splice(0));
    if (this.#inFlight > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onIdle = resolve;
      await promise;
    }
    await this.#settlement.close();
  }

  async #giveBack(unbegun: readonly Leased[]): Promise<void> {
    const leases = unbegun.map(({ delivery, leaseToken }) => ({ deliveryId: delivery.id, leaseToken }));
    if (leases.length === 0) return;
    try {
      await giveBackDeliveries(this.#options.database.db, leases);
    } catch {
      // The database is away: they fall due again by themselves when their lease ends.
    }
  }

  #wake(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    this.#mayBeDue = true;
    this.#fillSlots();
  }

  #fillSlots(): void {
    if (this.#stopped) return;
    const tooLate: Leased[] = [];
    while (this.#inFlight < this.#options.concurrency) {
      const next = this.#leased.shift();
      if (next === undefined) break;
      if (this.#options.runtime.now() <= next.beginBeforeMs) void this.#deliver(next);
      else tooLate.push(next);
    }
    void this.#giveBack(tooLate);
    if (this.#mayBeDue && this.#leased.length < this.#options.concurrency * CLAIMED_PER_SLOT) {
      this.#claiming ??= this.#claim().finally(() => {
        this.#claiming = undefined;
        this.#fillSlots();
      });
    }
  }

  async #deliver(leased: Leased): Promise<void> {
    this.#inFlight++;
    try {
      this.#settlement.add(await attempt(leased, this.#options));
    } catch (error) {
      // Nothing was recorded; the delivery falls due again when its lease ends.
      this.#options.observe({
        type: 'delivery.not_attempted',
        deliveryId: leased.delivery.id,
        reason: databaseErrorReport(error).message,
      });
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0 && this.#leased.length === 0) this.#settlement.flushNow();
      if (this.#inFlight === 0) this.#onIdle?.();
      this.#fillSlots();
    }
  }

  async #claim(): Promise<void> {
    const { database, runtime, observe, concurrency } = this.#options;
    // As many as may wait: the larger a claim, the cheaper a delivery.
    const limit = concurrency * CLAIMED_PER_SLOT;
    const leaseToken = runtime.newId();
    const beginBeforeMs = runtime.now() + this.#leaseMs / 2;
    this.#mayBeDue = false;
    try {
      const claimed = await claimDueDeliveries(database.db, { limit, leaseMs: this.#leaseMs, leaseToken });
      if (claimed.length > 0) {
        observe({ type: 'delivery.claimed', deliveries: claimed.length });
        await this.#take(claimed, { leaseToken, beginBeforeMs });
      }
      if (claimed.length === limit) this.#mayBeDue = true;
      else this.#wakeIn(Math.min((await findNextDueTime(database.db)) ?? POLL_MS, POLL_MS));
    } catch (error) {
      observe({ type: 'delivery.claim_failed', reason: databaseErrorReport(error).message });
      this.#wakeIn(POLL_MS);
    }
  }

  /** Puts what was claimed in line, with its endpoint and secrets. */
  async #take(
    claimed: readonly ClaimedDelivery[],
    lease: { readonly leaseToken: string; readonly beginBeforeMs: number },
  ): Promise<void> {
    const { database, observe } = this.#options;
    const endpointIds = [...new Set(claimed.map(({ endpointId }) => endpointId))];
    const endpoints = await findEndpoints(database.db, endpointIds);
    const secrets = await this.#secretsOf(endpointIds);
    const stopped: ClaimedDelivery[] = [];
    for (const delivery of claimed) {
      const endpoint = endpoints.get(delivery.endpointId);
      const keys = secrets.get(delivery.endpointId);
      if (endpoint === undefined || keys === undefined) {
        const reason = endpoint === undefined ? 'the endpoint is gone' : 'its secret cannot be read';
        observe({ type: 'delivery.not_attempted', deliveryId: delivery.id, reason });
      } else if (!endpoint.takes_deliveries) {
        stopped.push(delivery);
      } else {
        this.#leased.push({ delivery, endpoint, secrets: keys, ...lease });
      }
    }
    // An event may be stored at the very moment somebody stops its endpoint.
    if (stopped.length > 0) {
      await giveBackDeliveries(
        database.db,
        stopped.map(({ id }) => ({ deliveryId: id, leaseToken: lease.leaseToken })),
      );
    }
  }

  /** One endpoint whose secret cannot be read must not keep the others waiting. */
  async #secretsOf(endpointIds: readonly string[]): Promise<Map<string, readonly EndpointSecretKey[]>> {
    const { database, endpointSecrets } = this.#options;
    try {
      return await endpointSecrets.keysFor(database.db, endpointIds);
    } catch (error) {
      if (!(error instanceof MoonguardError)) throw error;
      if (endpointIds.length === 1) return new Map();
      const each = new Map<string, readonly EndpointSecretKey[]>();
      for (const id of endpointIds) for (const [key, keys] of await this.#secretsOf([id])) each.set(key, keys);
      return each;
    }
  }

  /** At the latest then: an earlier appointment stands. */
  #wakeIn(delayMs: number): void {
    const wakesAtMs = this.#options.runtime.now() + delayMs;
    if (this.#stopped || wakesAtMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = wakesAtMs;
    this.#timer = setTimeout(() => this.#wake(), Math.max(delayMs, 1));
  }
}
