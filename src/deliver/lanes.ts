import type { ReadyDelivery } from './attempt.ts';

/** A leased delivery that waits for its turn. */
export interface Leased extends ReadyDelivery {
  /** Unix ms: not before then, because the endpoint's requests are spaced out. */
  readonly beginAtMs: number;
  /** Unix ms: not after then, the lease might end before its result is written. */
  readonly beginBeforeMs: number;
}

interface Lane {
  readonly endpointId: string;
  queue: Leased[];
  inFlight: number;
  /** Requests that ended since the last claim: how fast the endpoint takes deliveries at the moment. */
  ended: number;
  /** The last claim had no room for all that was due. */
  hasMore: boolean;
  /** Which span of `YOUNG_MS` it is, and how many in flight began in it and in the one before. */
  span: number;
  young: number;
  youngBefore: number;
  /** It has had as many young ones as it may, and less than `GROUP` of them have ended since. */
  isFull: boolean;
}

/** Of one endpoint no more than this are in flight that began just now: 128 connections in the place of 64 cost 5 µs a delivery. */
const MOST_YOUNG = 64;
/** One that has so many is given the next ones together: requests that are written one right after the other cost less. */
const GROUP = 32;
/** An endpoint that takes longer gets as many as there are slots for. */
const YOUNG_MS = 12;

/** How many deliveries are leased for each that the endpoint took during the last claim, and with how many left it is time. */
const LEASED_PER_ENDED = 4;
const LEFT_PER_ENDED = 2;

/**
 * What a worker has leased, endpoint by endpoint, and whose turn it is. Endpoints take turns; one may begin another
 * request while it has no more in flight than slots are free. So one endpoint alone gets at most half of the slots, and however
 * many hang, there are slots for the next one.
 */
export class Lanes {
  readonly #slots: number;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes with something in their queue, the next one first. */
  #turns: Lane[] = [];
  #inFlight = 0;
  #queued = 0;
  #nextBeginAtMs = Number.POSITIVE_INFINITY;
  /** The last claim asked for nothing of endpoints that are not known: no slot was free. */
  #hadNoRoom = false;

  constructor(slots: number) {
    this.#slots = slots;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queued(): number {
    return this.#queued;
  }

  /** After `take` found none: when the next one may begin without another's ending, in unix ms; infinite when none may. */
  get nextBeginAtMs(): number {
    return this.#nextBeginAtMs;
  }

  /** Deliveries that an endpoint of which nothing is known could begin at once. */
  get defaultRoom(): number {
    return Math.ceil((this.#slots - this.#inFlight) / 2);
  }

  /** Deliveries that each endpoint can take, for the claim that is about to begin. */
  roomsForClaim(nowMs: number): Record<string, number> {
    this.#hadNoRoom = this.defaultRoom === 0;
    const rooms: Record<string, number> = {};
    for (const lane of this.#lanes.values()) {
      if (lane.inFlight === 0 && lane.queue.length === 0) {
        this.#lanes.delete(lane.endpointId);
        continue;
      }
      const room = this.#room(lane, nowMs);
      rooms[lane.endpointId] = room;
      lane.ended = 0;
      // Without room it is not asked for.
      if (room > 0) lane.hasMore = false;
    }
    return rooms;
  }

  /** Whether nothing waits in the database for its turn before what is new, and there is room for it here. */
  takesMore(endpointId: string, nowMs: number): boolean {
    const lane = this.#lanes.get(endpointId);
    if (lane === undefined) return this.defaultRoom > 0;
    return !lane.hasMore && this.#room(lane, nowMs) > 0;
  }

  /** @param hasMore whether there was more than room for; without it, that stays as the last claim found it */
  add(endpointId: string, leased: readonly Leased[], hasMore?: boolean): void {
    const lane = this.#lanes.get(endpointId) ?? {
      endpointId,
      queue: [],
      inFlight: 0,
      ended: 0,
      hasMore: false,
      span: 0,
      young: 0,
      youngBefore: 0,
      isFull: false,
    };
    this.#lanes.set(endpointId, lane);
    lane.hasMore = hasMore ?? lane.hasMore;
    if (lane.queue.length === 0 && leased.length > 0) this.#turns.push(lane);
    lane.queue.push(...leased);
    this.#queued += leased.length;
  }

  /** The next one to be begun now; undefined when none may be. Whoever takes it says when it has ended, and when it began. */
  take(nowMs: number): Leased | undefined {
    this.#nextBeginAtMs = Number.POSITIVE_INFINITY;
    for (let turns = this.#turns.length; turns > 0; turns--) {
      const lane = this.#turns.shift();
      const next = lane?.queue[0];
      if (lane === undefined || next === undefined) continue;
      const isFree = next.beginAtMs <= nowMs && this.#mayBegin(lane, nowMs) > 0;
      if (isFree) {
        lane.queue.shift();
        this.#queued--;
        lane.inFlight++;
        lane.young++;
        this.#inFlight++;
      }
      if (lane.queue.length > 0) this.#turns.push(lane);
      if (isFree) return next;
      if (next.beginAtMs > nowMs) this.#nextBeginAtMs = Math.min(this.#nextBeginAtMs, next.beginAtMs);
      else if (this.#freeFor(lane) > 0) this.#nextBeginAtMs = Math.min(this.#nextBeginAtMs, (lane.span + 1) * YOUNG_MS);
    }
    return undefined;
  }

  /** @returns whether it is time to claim more */
  end(endpointId: string, beganAtMs: number): boolean {
    const lane = this.#lanes.get(endpointId);
    if (lane === undefined) return false;
    const age = lane.span - spanOf(beganAtMs);
    if (age === 0) lane.young--;
    else if (age === 1) lane.youngBefore--;
    lane.inFlight--;
    this.#inFlight--;
    lane.ended++;
    return this.#hadNoRoom || (lane.hasMore && lane.queue.length < LEFT_PER_ENDED * lane.ended);
  }

  /** Takes out what is not to be begun any more. */
  remove(isUnwanted: (leased: Leased) => boolean): Leased[] {
    const removed: Leased[] = [];
    for (const lane of this.#turns) {
      const { unwanted = [], wanted = [] } = Object.groupBy(lane.queue, (leased) =>
        isUnwanted(leased) ? 'unwanted' : 'wanted',
      );
      removed.push(...unwanted);
      lane.queue = wanted;
    }
    // A lane with nothing left has no turn, or it would have two when something comes again.
    this.#turns = this.#turns.filter(({ queue }) => queue.length > 0);
    this.#queued -= removed.length;
    return removed;
  }

  /** How many more it may have in flight. */
  #freeFor(lane: Lane): number {
    return this.#slots - this.#inFlight - lane.inFlight;
  }

  #mayBegin(lane: Lane, nowMs: number): number {
    const span = spanOf(nowMs);
    if (span !== lane.span) {
      lane.youngBefore = span - lane.span === 1 ? lane.young : 0;
      lane.young = 0;
      lane.span = span;
    }
    const room = MOST_YOUNG - lane.young - lane.youngBefore;
    lane.isFull = room < (lane.isFull ? GROUP : 1);
    return lane.isFull ? 0 : Math.min(this.#freeFor(lane), room);
  }

  #room(lane: Lane, nowMs: number): number {
    const { queue, ended } = lane;
    // With each one that it begins, a slot less is free.
    const begins = Math.max(0, Math.ceil(this.#mayBegin(lane, nowMs) / 2));
    return Math.max(0, begins + LEASED_PER_ENDED * ended - queue.length);
  }
}

function spanOf(ms: number): number {
  return Math.floor(ms / YOUNG_MS);
}
