import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { openTestDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import type { Observation } from '../observe/observation.ts';
import { Settlement } from './settlement.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase('embedded');
}, 60_000);
afterAll(() => database.close());

// The clock stands still: what is written was not waited for.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Adds so many results, then another one, and closes. @returns how many were written together, batch by batch */
async function batches(results: number, isIdle: boolean, waitMs = 0): Promise<number[]> {
  const written: number[] = [];
  const observe = (observation: Observation): void => {
    if (observation.type === 'delivery.settled') written.push(observation.deliveries);
  };
  let isEveryRequestBack = false;
  const settlement = new Settlement(
    { database, observe, breaker: { failures: 10, probeMs: 30_000, disableAfterMs: 86_400_000 } },
    { isIdle: () => isIdle && isEveryRequestBack, onDueAgainIn: () => {}, onEndpoints: () => {} },
  );
  const add = (): void => {
    const ids = { deliveryId: randomUUID(), endpointId: randomUUID(), leaseToken: randomUUID() };
    settlement.add({ ...ids, isOrdered: false, outcome: 'filtered' });
  };
  for (let place = 0; place < results; place++) add();
  isEveryRequestBack = true;
  settlement.onIdle();
  vi.advanceTimersByTime(waitMs);
  add();
  await settlement.close();
  return written;
}

test('results are written at once when no other is on its way', async () => {
  expect(await batches(16, true)).toEqual([16, 1]);
});

test('a few wait for others', async () => {
  expect(await batches(15, true)).toEqual([16]);
  expect(await batches(15, true, 50)).toEqual([15, 1]);
});

test('while a request is under way, results wait for it', async () => {
  expect(await batches(16, false)).toEqual([17]);
  expect(await batches(16, false, 50)).toEqual([16, 1]);
});

test('a full batch waits for nothing', async () => {
  expect(await batches(250, false)).toEqual([250, 1]);
});
