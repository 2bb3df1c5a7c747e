import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Ingest } from '../../src/receive/ingest.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent } from '../support/moonpay.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('who is told that there are events to decide on', (open) => {
  let database: TestDatabase;
  let notifications = 0;
  let calls = 0;
  const decider = { isRunning: true, onStored: () => void calls++ };

  beforeAll(async () => {
    database = await open();
    await database.listen('moonguard_events', () => void notifications++);
  });
  afterAll(() => database.close());
  beforeEach(() => {
    notifications = 0;
    calls = 0;
    decider.isRunning = true;
  });

  const store = async (ingest: Ingest): Promise<void> => {
    const rawBody = Buffer.from(buyEvent({ id: systemRuntime.newId() }));
    const parsed = parseEvent(rawBody, 'sandbox');
    await ingest.store({ id: systemRuntime.newId(), environment: 'sandbox', rawBody, signature: 't=0,s=0', parsed })
      .stored;
  };

  /** Notifications come in the order of their commits: all that were sent before have been heard then. */
  const allHeard = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = await database.listen('heard', () => resolve());
    await database.runScript("select pg_notify('heard', '')");
    await promise;
    await stop();
  };

  test('the decider of the process that stores, and nobody else', async () => {
    await store(new Ingest(database, { decider }));
    await allHeard();
    expect({ calls, notifications }).toEqual({ calls: 1, notifications: 0 });
  });

  test('every process that listens, where the one that stores does not decide', async () => {
    decider.isRunning = false;
    await store(new Ingest(database, { decider }));
    await store(new Ingest(database));
    await allHeard();
    expect({ calls, notifications }).toEqual({ calls: 0, notifications: 2 });
  });
});
