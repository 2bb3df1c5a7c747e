import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import type { Observe } from '../observe/observation.ts';
import type { LeaseOffer } from '../receive/ingest.ts';
import type { IncomingEvent } from '../receive/store/storeEvents.ts';
import type { Runtime } from '../runtime.ts';
import { attempt } from './attempt.ts';
import type { BreakerSettings } from './breaker.ts';
import { chooseWanted } from './chooseWanted.ts';
import type { EndpointPreparer } from './endpointPreparer.ts';
import { Lanes, type Leased } from './lanes.ts';
import { PlainEndpoints } from './PlainEndpoints.ts';
import type { Sender } from './send.ts';
import { Settlement } from './settlement.ts';
import { type ClaimedLane, claimDueDeliveries } from './store/claimDueDeliveries.ts';
import { giveBackDeliveries } from './store/giveBackDeliveries.ts';
import { reserveRequests } from './store/reserveRequests.ts';
import type { Settlements } from './store/settleDeliveries.ts';

/** A NOTIFY wakes the worker at once; this covers the time when nobody listens, or a pooler swallows it. */
const POLL_MS = 1_000;
/** A claim gives out the next second of endpoints whose requests are spaced out; it is renewed before that is over. */
const SPACED_POLL_MS = 500;
/** A request whose time is given is made up to so much later, or not now. */
const LATE_MS = 50;
/** A retry that is due later than this is found by the poll, up to a second late. */
const LONGEST_APPOINTMENT_MS = 10_000;
/** So that thousands of retries are a few hundred appointments. */
const APPOINTMENT_GRAIN_MS = 25;
/** The larger a claim, the cheaper a delivery; of the bodies of one endpoint it brings 16 MiB at most. */
const LARGEST_CLAIM = 1_000;
/** Leased beyond an endpoint's timeout: the longest a delivery may wait in this process, and to be settled. */
const DEFAULT_LEASE_MS = 15_000;

export interface DeliveryWorkerOptions {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly observe: Observe;
  readonly sender: Sender;
  readonly prepareEndpoint: EndpointPreparer;
  /** Requests in flight at a time; one endpoint alone gets at most half of them. */
  readonly concurrency: number;
  readonly breaker: BreakerSettings;
  readonly leaseMs?: number;
}

/**
 * Delivers what is due, as a stream: a free slot takes the next delivery, the next claim runs while slots are busy, and
 * nobody waits for the slowest of a batch. Any number of workers share the work through the database alone.
 */
export class DeliveryWorker {
  readonly #options: DeliveryWorkerOptions;
  readonly #leaseMs: number;
  readonly #settlement: Settlement;
  readonly #lanes: Lanes;
  readonly #plainEndpoints = new PlainEndpoints();
  #claiming: Promise<void> | undefined;
  /** Something may have become due since the last claim began. */
  #mayBeDue = false;
  /** Unix ms when something falls due, in steps of `APPOINTMENT_GRAIN_MS`. */
  readonly #appointments = new Set<number>();
  #pollsAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #wakesAtMs = Number.POSITIVE_INFINITY;
  #beginTimer: NodeJS.Timeout | undefined;
  #beginsAtMs = Number.POSITIVE_INFINITY;
  #stopListening: (() => Promise<void>) | undefined;
  #stopped = true;
  #onIdle: (() => void) | undefined;

  constructor(options: DeliveryWorkerOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    this.#lanes = new Lanes(options.concurrency);
    this.#settlement = new Settlement(options, {
      isIdle: () => this.#lanes.inFlight === 0,
      onDueAgainIn: (delayMs) => this.#wakeIn(delayMs),
      onEndpoints: (endpoints) => this.#onEndpoints(endpoints),
    });
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
    clearTimeout(this.#beginTimer);
    await this.#stopListening?.();
    await this.#claiming;
    await this.#giveBack(this.#lanes.remove(() => true));
    if (this.#lanes.inFlight > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onIdle = resolve;
      await promise;
    }
    await this.#settlement.close();
  }

  /** What is stored now for endpoints that can take it at once may be leased by this worker, without a claim. */
  offerLease(): LeaseOffer | undefined {
    if (this.#stopped) return undefined;
    const { runtime } = this.#options;
    const nowMs = runtime.now();
    const ready = this.#plainEndpoints.ready((id) => this.#lanes.takesMore(id, nowMs));
    const leaseToken = runtime.newId();
    return {
      leaseToken,
      leaseMs: this.#leaseMs,
      endpoints: Object.fromEntries(Array.from(ready, ([id, { changed_at }]) => [id, changed_at])),
      take: (event, leased) => {
        for (const { deliveryId, endpointId } of leased) {
          const endpoint = ready.get(endpointId);
          if (endpoint === undefined) continue;
          const delivery = newDelivery(deliveryId, event);
          const beginBeforeMs = nowMs + this.#leaseMs / 2;
          this.#takeNew({ delivery, endpoint, leaseToken, beginAtMs: nowMs, beginBeforeMs });
        }
      },
    };
  }

  #takeNew(leased: Leased): void {
    // The event was being stored when the worker stopped.
    if (this.#stopped) return void this.#giveBack([leased]);
    const { id: endpointId } = leased.endpoint;
    this.#options.observe({ type: 'delivery.claimed', endpointId, deliveries: 1 });
    this.#lanes.add(endpointId, [leased]);
    this.#fillSlots();
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

  /** Gives back what waits here for endpoints that were suspended or stopped, and asks for what waits for the others. */
  #onEndpoints(endpoints: Settlements['endpoints']): void {
    const statuses = new Map(endpoints.map(({ endpointId, status }) => [endpointId, status]));
    const isStopped = ({ endpoint }: Leased): boolean => (statuses.get(endpoint.id) ?? 'active') !== 'active';
    void this.#giveBack(this.#lanes.remove(isStopped));
    this.#wake();
  }

  #wake(): void {
    if (this.#stopped) return;
    const nowMs = this.#options.runtime.now();
    for (const atMs of this.#appointments) if (atMs <= nowMs) this.#appointments.delete(atMs);
    this.#pollsAtMs = nowMs + POLL_MS;
    // The timer may have fired a millisecond before its time: it has to be set again for the same one.
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    this.#setTimer();
    // Those of an endpoint that hangs have no turn.
    void this.#giveBack(this.#lanes.remove(({ beginBeforeMs }) => beginBeforeMs < nowMs));
    this.#mayBeDue = true;
    this.#fillSlots();
  }

  #fillSlots(): void {
    if (this.#stopped) return;
    const nowMs = this.#options.runtime.now();
    for (let next = this.#lanes.take(nowMs); next !== undefined; next = this.#lanes.take(nowMs)) {
      if (nowMs <= next.beginBeforeMs) void this.#deliver(next, nowMs);
      else {
        this.#lanes.end(next.endpoint.id, nowMs);
        void this.#giveBack([next]);
      }
    }
    this.#beginAt(this.#lanes.nextBeginAtMs);
    if (this.#mayBeDue) {
      this.#claiming ??= this.#claim().finally(() => {
        this.#claiming = undefined;
        this.#fillSlots();
      });
    }
  }

  async #deliver(leased: Leased, beganAtMs: number): Promise<void> {
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
      if (this.#lanes.end(leased.endpoint.id, beganAtMs)) this.#mayBeDue = true;
      this.#fillSlots();
      if (this.#lanes.inFlight === 0) {
        this.#onIdle?.();
        this.#settlement.onIdle();
      }
    }
  }

  async #claim(): Promise<void> {
    const { database, runtime, observe, breaker } = this.#options;
    const leaseToken = runtime.newId();
    const claimedAtMs = runtime.now();
    this.#mayBeDue = false;
    try {
      const lanes = await claimDueDeliveries(database.db, {
        limit: LARGEST_CLAIM,
        defaultRoom: this.#lanes.defaultRoom,
        rooms: this.#lanes.roomsForClaim(claimedAtMs),
        leaseMs: this.#leaseMs,
        leaseToken,
        probeMs: breaker.probeMs,
      });
      for (const lane of lanes) await this.#take(lane, { leaseToken, claimedAtMs });
      this.#pollIn(lanes.some(({ spacingMs, toBeChosen }) => spacingMs > 0 || toBeChosen) ? SPACED_POLL_MS : POLL_MS);
    } catch (error) {
      observe({ type: 'delivery.claim_failed', reason: databaseErrorReport(error).message });
      this.#pollIn(POLL_MS);
    }
  }

  /** Puts what was leased in line, but for what the endpoint's filter does not want. */
  async #take(
    lane: ClaimedLane,
    { leaseToken, claimedAtMs }: { leaseToken: string; claimedAtMs: number },
  ): Promise<void> {
    const { database, runtime, observe, breaker, prepareEndpoint } = this.#options;
    const { id: endpointId } = lane.endpoint;
    observe({ type: 'delivery.claimed', endpointId, deliveries: lane.deliveries.length });
    const endpoint = await prepareEndpoint(lane.endpoint);
    if (endpoint === undefined) return;
    this.#plainEndpoints.note(lane, endpoint);

    const { wanted, unwanted } = chooseWanted(lane.deliveries, endpoint, observe);
    for (const { id: deliveryId, isOrdered } of unwanted) {
      this.#settlement.add({ deliveryId, endpointId, leaseToken, isOrdered, outcome: 'filtered' });
    }
    const { granted, waitMs, spacingMs } = lane.toBeChosen
      ? await reserveRequests(database.db, endpointId, wanted.length, breaker.probeMs)
      : { granted: wanted.length, waitMs: lane.waitMs, spacingMs: lane.spacingMs };
    // A request that is late by more than this would come together with those that have the time after it.
    const latestMs = spacingMs > 0 ? Math.max(LATE_MS, spacingMs / 10) : this.#leaseMs / 2;
    // Times that were given out while the claim was under way, but not so long ago that none of them is left.
    const firstMs = spacingMs > 0 ? Math.max(claimedAtMs, runtime.now() - LATE_MS / 2) + waitMs : claimedAtMs;
    const leased = wanted.map((delivery, place): Leased => {
      const beginAtMs = firstMs + place * spacingMs;
      return { delivery, endpoint, leaseToken, beginAtMs, beginBeforeMs: beginAtMs + latestMs };
    });
    const hasMore = lane.hasMore && granted === wanted.length;
    this.#lanes.add(endpointId, leased.slice(0, granted), hasMore);
    // Nothing that ends will ask for more in their place.
    if (hasMore && unwanted.length > 0) this.#mayBeDue = true;
    await this.#giveBack(leased.slice(granted));
  }

  /** For the next one whose turn comes at a given time. */
  #beginAt(beginAtMs: number): void {
    if (beginAtMs === this.#beginsAtMs) return;
    clearTimeout(this.#beginTimer);
    this.#beginsAtMs = beginAtMs;
    if (beginAtMs === Number.POSITIVE_INFINITY) return;
    const begin = (): void => {
      this.#beginsAtMs = Number.POSITIVE_INFINITY;
      this.#fillSlots();
    };
    this.#beginTimer = setTimeout(begin, Math.max(beginAtMs - this.#options.runtime.now(), 1));
  }

  /** Wakes up then, whatever else happens before. */
  #wakeIn(delayMs: number): void {
    if (delayMs <= 0) return this.#wake();
    if (delayMs > LONGEST_APPOINTMENT_MS) return;
    const wakeAtMs = this.#options.runtime.now() + delayMs;
    this.#appointments.add(Math.ceil(wakeAtMs / APPOINTMENT_GRAIN_MS) * APPOINTMENT_GRAIN_MS);
    this.#setTimer();
  }

  /** Wakes up then unless it does before. */
  #pollIn(delayMs: number): void {
    this.#pollsAtMs = this.#options.runtime.now() + delayMs;
    this.#setTimer();
  }

  #setTimer(): void {
    const wakesAtMs = Math.min(this.#pollsAtMs, ...this.#appointments);
    if (this.#stopped || wakesAtMs === this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = wakesAtMs;
    this.#timer = setTimeout(() => this.#wake(), Math.max(wakesAtMs - this.#options.runtime.now(), 1));
  }
}

function newDelivery(id: string, { id: eventId, rawBody, parsed: { name, providerType } }: IncomingEvent) {
  const event = { name, providerType, occurredAt: null, rawBody, dataText: null };
  return { id, eventId, scheduledAttemptsMade: 0, isResend: false, isOrdered: false, event };
}
