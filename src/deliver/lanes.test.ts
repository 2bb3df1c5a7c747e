import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ReadyEndpoint } from './attempt.ts';
import { Lanes, type Leased } from './lanes.ts';

const NOW = 1_000;

const endpointNamed = (id: string): ReadyEndpoint => ({
  id,
  changed_at: 0,
  environment: 'sandbox',
  url: 'https://example.com/',
  headers: undefined,
  retry_policy: { max_attempts: 1, backoff_strategy: 'fixed', initial_delay_ms: 0, max_delay_ms: 0, jitter: 0 },
  delivery_settings: {
    verify_ssl: true,
    timeout_ms: 1_000,
    rate_limit_per_second: null,
    ordering: 'none',
    payload: 'provider',
  },
  client_certificate_id: null,
  keys: [],
  filter: undefined,
  clientCertificate: undefined,
});

function leased(endpointId: string, count: number, beginAtMs = 0): Leased[] {
  return Array.from({ length: count }, (_, place) => ({
    delivery: {
      id: `${endpointId}${place}`,
      eventId: 'event',
      scheduledAttemptsMade: 0,
      isResend: false,
      isOrdered: false,
      event: {
        name: 'transaction.updated',
        providerType: 'transaction_updated',
        occurredAt: null,
        rawBody: Buffer.from('{}'),
        dataText: null,
      },
    },
    endpoint: endpointNamed(endpointId),
    leaseToken: 'token',
    beginAtMs,
    beginBeforeMs: Number.POSITIVE_INFINITY,
  }));
}

/** Begins whatever may begin; ids of the deliveries, in order. */
function takeAll(lanes: Lanes, nowMs = NOW): string[] {
  const taken: string[] = [];
  for (let next = lanes.take(nowMs); next !== undefined; next = lanes.take(nowMs)) taken.push(next.delivery.id);
  return taken;
}

describe('Lanes', () => {
  test('one endpoint alone gets half of the slots, in the order in which its deliveries came', () => {
    const lanes = new Lanes(8);
    lanes.add('a', leased('a', 10), false);

    expect(takeAll(lanes)).toEqual(['a0', 'a1', 'a2', 'a3']);
    expect(lanes.queued).toBe(6);
  });

  test('one that answers at once gets 64 at most, one that takes its time half of the slots', () => {
    const lanes = new Lanes(256);
    lanes.add('a', leased('a', 2_000), false);
    expect(takeAll(lanes)).toHaveLength(64);

    expect(lanes.nextBeginAtMs).toBeGreaterThan(NOW);
    // Nothing ends.
    takeAll(lanes, lanes.nextBeginAtMs + 12);
    expect(lanes.inFlight).toBe(128);
    expect(lanes.nextBeginAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('one that has had 64 is given the next ones 32 at a time', () => {
    const lanes = new Lanes(256);
    lanes.add('a', leased('a', 200), false);
    takeAll(lanes);
    for (let ended = 0; ended < 31; ended++) lanes.end('a', NOW);
    expect(takeAll(lanes)).toEqual([]);
    lanes.end('a', NOW);
    expect(takeAll(lanes)).toHaveLength(32);
  });

  test('those that take long do not count among the 64, whatever ends between them', () => {
    const lanes = new Lanes(256);
    lanes.add('a', leased('a', 10_000), false);
    const most = { young: 0, inAll: 0 };
    let slow = 0;
    let young = 0;
    for (let atMs = NOW; atMs < NOW + 100; atMs++) {
      // Within a millisecond all have ended that began in the one before, but for one.
      for (; young > 1; young--) lanes.end('a', atMs - 1);
      slow += young;
      young = takeAll(lanes, atMs).length;
      most.young = Math.max(most.young, young);
      most.inAll = Math.max(most.inAll, young + slow);
    }
    expect(most).toEqual({ young: 64, inAll: 128 });
  });

  test('endpoints take turns', () => {
    const lanes = new Lanes(8);
    lanes.add('a', leased('a', 3), false);
    lanes.add('b', leased('b', 2), false);

    expect(takeAll(lanes)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2']);
  });

  test('one that hangs leaves slots for the next one, which takes its turn at once', () => {
    const lanes = new Lanes(8);
    lanes.add('hangs', leased('hangs', 100), true);
    takeAll(lanes);
    lanes.add('works', leased('works', 5), false);

    expect(takeAll(lanes)).toEqual(['works0', 'works1']);
    lanes.end('works', NOW);
    expect(takeAll(lanes)).toEqual(['works2']);
  });

  test('nothing is claimed for one that hangs, more for one that is fast', () => {
    const lanes = new Lanes(8);
    lanes.add('hangs', leased('hangs', 4), true);
    lanes.add('fast', leased('fast', 3), true);
    takeAll(lanes);
    for (let ended = 0; ended < 3; ended++) lanes.end('fast', NOW);
    lanes.add('fast', leased('fast', 1), true);
    takeAll(lanes);

    expect(lanes.roomsForClaim(NOW)).toEqual({ hangs: 0, fast: 13 });
  });

  test('it is time to claim when less waits than was just taken, and there is more', () => {
    const lanes = new Lanes(8);
    lanes.add('a', leased('a', 3), true);
    takeAll(lanes);
    expect(lanes.end('a', NOW)).toBe(true);
    lanes.roomsForClaim(NOW);
    lanes.add('a', leased('a', 20), true);
    expect(lanes.end('a', NOW)).toBe(false);
    lanes.add('b', leased('b', 1), false);
    takeAll(lanes);
    expect(lanes.end('b', NOW)).toBe(false);
  });

  test('deliveries that are spaced out wait for their time, others go past them', () => {
    const lanes = new Lanes(8);
    lanes.add('later', leased('later', 1, NOW + 500), false);
    lanes.add('now', leased('now', 1), false);

    expect(takeAll(lanes)).toEqual(['now0']);
    expect(lanes.nextBeginAtMs).toBe(NOW + 500);
    expect(takeAll(lanes, NOW + 500)).toEqual(['later0']);
    expect(lanes.nextBeginAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('what is taken out is not begun', () => {
    const lanes = new Lanes(8);
    lanes.add('a', leased('a', 3), false);
    lanes.add('b', leased('b', 1), false);

    expect(lanes.remove(({ endpoint }) => endpoint.id === 'a')).toHaveLength(3);
    expect(lanes.queued).toBe(1);
    expect(takeAll(lanes)).toEqual(['b0']);
  });

  test('one whose deliveries were taken out has one turn like the others when more comes', () => {
    const lanes = new Lanes(64);
    lanes.add('a', leased('a', 3), false);
    lanes.remove(() => true);
    lanes.add('a', leased('a', 3), false);
    lanes.add('b', leased('b', 3), false);

    expect(takeAll(lanes)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  });

  test('whatever comes and ends: never more in flight than slots, and everything is begun once, in order', () => {
    const step = fc.oneof(
      fc.record({ add: fc.constantFrom('a', 'b', 'c'), count: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ end: fc.nat(50) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 60 }), (slots, steps) => {
        const lanes = new Lanes(slots);
        const added: Record<string, number> = { a: 0, b: 0, c: 0 };
        const begun: string[] = [];
        const inFlight: string[] = [];
        const begin = (): void => {
          for (let next = lanes.take(NOW); next !== undefined; next = lanes.take(NOW)) {
            begun.push(next.delivery.id);
            inFlight.push(next.endpoint.id);
          }
          expect(inFlight.length).toBeLessThanOrEqual(slots);
        };
        const end = (place: number): void => {
          const [endpointId] = inFlight.splice(place % inFlight.length, 1);
          if (endpointId !== undefined) lanes.end(endpointId, NOW);
        };
        for (const action of steps) {
          if ('end' in action) {
            if (inFlight.length > 0) end(action.end);
          } else {
            const from = added[action.add] ?? 0;
            added[action.add] = from + action.count;
            lanes.add(action.add, leased(action.add, from + action.count).slice(from), false);
          }
          begin();
        }
        while (inFlight.length > 0) {
          end(0);
          begin();
        }
        for (const id of ['a', 'b', 'c']) {
          const expected = Array.from({ length: added[id] ?? 0 }, (_, place) => `${id}${place}`);
          expect(begun.filter((delivery) => delivery.startsWith(id))).toEqual(expected);
        }
        expect(lanes.queued).toBe(0);
      }),
    );
  });
});
