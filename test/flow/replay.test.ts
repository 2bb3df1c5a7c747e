import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import { Replayer } from '../../src/deliver/Replayer.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { httpServer } from '../support/localServers.ts';
import { insertPastDeliveries } from '../support/pastDeliveries.ts';
import { type Observed, observed, withDeadline } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

const masterKey = randomBytes(32).toString('base64');

type Answer = (count: number) => number | Promise<number>;

/** A receiver that counts what came by its webhook-id, and answers with a status. */
async function countingReceiver(answer: Answer = () => 200) {
  const seen = new Map<string, number>();
  const arrivedAtMs: number[] = [];
  let waiting: { count: number; resolve: () => void }[] = [];
  const { url } = await httpServer(async (request, response) => {
    const id = String(request.headers['webhook-id']);
    seen.set(id, (seen.get(id) ?? 0) + 1);
    arrivedAtMs.push(performance.now());
    const due = waiting.filter(({ count }) => count <= arrivedAtMs.length);
    waiting = waiting.filter((each) => !due.includes(each));
    for (const { resolve } of due) resolve();
    request.resume();
    response.writeHead(await answer(arrivedAtMs.length)).end();
  });
  const untilArrived = (count: number): Promise<void> => {
    const arrived = new Promise<void>((resolve) => {
      if (arrivedAtMs.length >= count) resolve();
      else waiting.push({ count, resolve });
    });
    return withDeadline(arrived, () => `${arrivedAtMs.length} of ${count} arrived`, 30_000);
  };
  const mostOfOne = (): number => Math.max(0, ...seen.values());
  return { url, seen, arrivedAtMs, untilArrived, mostOfOne };
}

const completed = (observation: Observation): boolean => observation.type === 'replay.completed';

forEachDatabase('replays that are sent', (open, kind) => {
  let database: TestDatabase;
  let signals: Observed;
  let moonguards: Moonguard[];
  let webhooks: Moonguard['webhooks'];
  beforeEach(async () => {
    database = await open();
    signals = observed();
    moonguards = [];
    ({ webhooks } = await openMoonguard());
  });
  afterEach(async () => {
    for (const moonguard of moonguards) await moonguard.stop();
    await database.close();
  });

  /** A process's worth of Moonguard, not started. */
  async function openMoonguard(on: Database = database): Promise<Moonguard> {
    const moonguard = await createMoonguard({
      database: on,
      masterKey,
      observe: signals.observe,
      allowLoopbackDestinations: true,
    });
    moonguards.push(moonguard);
    return moonguard;
  }

  async function start(): Promise<Moonguard> {
    const moonguard = await openMoonguard();
    await moonguard.start();
    return moonguard;
  }

  const createEndpoint = (url: string) =>
    webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox', retryPolicy: { maxAttempts: 1 } });

  test('what an endpoint missed while it was switched off arrives by one call after it is active again', async () => {
    const receiver = await countingReceiver();
    const { id } = await createEndpoint(receiver.url);
    await webhooks.suspendWebhook(id);
    await insertPastDeliveries(database, { endpointId: id, count: 1_100 });
    await start();
    await webhooks.resumeWebhook(id);

    const replay = await webhooks.replayDeliveries({ webhookId: id });
    await receiver.untilArrived(1_100);
    await signals.next(completed);

    expect(replay).toMatchObject({ status: 'running', totalCount: 1_100 });
    expect(receiver.seen.size).toBe(1_100);
    expect(receiver.mostOfOne()).toBe(1);
    expect(await webhooks.getReplay(replay.id)).toMatchObject({
      status: 'completed',
      releasedCount: 1_100,
      deliveredCount: 1_100,
      failedCount: 0,
      waitingCount: 0,
    });
    expect((await webhooks.listUndelivered()).items).toEqual([]);
  });

  test('what was delivered is sent once more, and stays delivered when that fails', async () => {
    const receiver = await countingReceiver((count) => (count % 2 === 0 ? 200 : 500));
    const { id } = await createEndpoint(receiver.url);
    const ids = await insertPastDeliveries(database, { endpointId: id, count: 10, status: 'delivered' });
    await start();

    const replay = await webhooks.replayDeliveries({ status: 'delivered' });
    await signals.next(completed);

    expect(receiver.seen.size).toBe(10);
    expect(receiver.mostOfOne()).toBe(1);
    expect(await webhooks.getReplay(replay.id)).toMatchObject({ deliveredCount: 5, failedCount: 5 });
    const { items } = await webhooks.listDeliveries({ status: 'delivered' });
    expect(items.map((delivery) => delivery.id).toSorted()).toEqual(ids.toSorted());
  });

  test('stopped in the middle and started again it sends each at most once more', async () => {
    const receiver = await countingReceiver();
    const { id } = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: id, count: 1_500, status: 'exhausted' });
    const first = await start();
    const replay = await webhooks.replayDeliveries();
    await receiver.untilArrived(300);
    await first.stop();
    const half = await webhooks.getReplay(replay.id);

    await start();
    await receiver.untilArrived(1_500);
    await signals.next(completed);

    expect(half.status).toBe('running');
    expect(half.releasedCount).toBeLessThan(1_500);
    expect(receiver.seen.size).toBe(1_500);
    expect(receiver.mostOfOne()).toBe(1);
  });

  test('cancelled in the middle nothing more is sent', async () => {
    const answers = Promise.withResolvers<number>();
    const receiver = await countingReceiver((count) => (count <= 10 ? 200 : answers.promise));
    const { id } = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: id, count: 1_500, status: 'exhausted' });
    await start();
    const { id: replayId } = await webhooks.replayDeliveries();
    await receiver.untilArrived(50);

    const cancelled = await webhooks.cancelReplay(replayId);
    answers.resolve(200);
    while ((await webhooks.getStats()).pendingDeliveries > 0) {
      await signals.next(({ type }) => type === 'delivery.delivered');
    }

    expect(cancelled).toMatchObject({ status: 'cancelled', totalCount: 1_500 });
    // What a worker had by then: half of its slots, and as many in line.
    expect(receiver.seen.size).toBeLessThan(400);
    expect(receiver.mostOfOne()).toBe(1);
    expect(await webhooks.getStats()).toMatchObject({ exhaustedDeliveries: 1_500 - receiver.seen.size });
  });

  test('its rate is what the receiver sees', async () => {
    const receiver = await countingReceiver();
    const { id } = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: id, count: 60 });
    await start();

    await webhooks.replayDeliveries({ ratePerSecond: 30 });
    await signals.next(completed);

    const { arrivedAtMs } = receiver;
    expect(arrivedAtMs).toHaveLength(60);
    for (const [index, from] of arrivedAtMs.entries()) {
      const withinOneSecond = arrivedAtMs.slice(index).filter((at) => at < from + 1_000).length;
      // A quarter of a second's worth may have gathered, and a busy machine may have kept some on the way.
      expect(withinOneSecond).toBeLessThanOrEqual(30 * 1.5);
    }
    expect((arrivedAtMs.at(-1) ?? 0) - (arrivedAtMs[0] ?? 0)).toBeGreaterThan(1_400);
  });

  test('an endpoint that is switched off half-way gets no more, and the replay ends', async () => {
    const receiver = await countingReceiver();
    const { id } = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: id, count: 100 });
    await start();
    const { id: replayId } = await webhooks.replayDeliveries({ ratePerSecond: 20 });
    await receiver.untilArrived(5);

    await webhooks.suspendWebhook(id);
    await signals.next(completed);

    const replay = await webhooks.getReplay(replayId);
    expect(replay.skippedCount).toBeGreaterThan(0);
    expect(replay.releasedCount + replay.skippedCount).toBe(100);
    expect(replay.deliveredCount + replay.failedCount + replay.waitingCount).toBe(replay.releasedCount);
    expect(receiver.seen.size).toBeLessThan(100);
  });

  test('one endpoint that hangs does not hold up the others of the replay', async () => {
    const never = Promise.withResolvers<number>();
    const hanging = await countingReceiver(() => never.promise);
    const receiver = await countingReceiver();
    const stuck = await createEndpoint(hanging.url);
    const fine = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: stuck.id, count: 1_100 });
    await insertPastDeliveries(database, { endpointId: fine.id, count: 1_100 });
    await start();

    const { id } = await webhooks.replayDeliveries();
    await receiver.untilArrived(1_100);

    expect(receiver.mostOfOne()).toBe(1);
    await webhooks.cancelReplay(id);
    never.resolve(200);
  });

  test(`${kind === 'postgres' ? 'two processes' : 'two replayers'} share the work and release nothing twice`, async () => {
    const receiver = await countingReceiver();
    const { id } = await createEndpoint(receiver.url);
    await insertPastDeliveries(database, { endpointId: id, count: 1_500, status: 'exhausted' });
    const other = database.url === undefined ? database : await connectDatabase({ databaseUrl: database.url });
    const replayers = [database, other].map((on) => new Replayer({ database: on, observe: signals.observe }));
    try {
      for (const replayer of replayers) await replayer.start();
      const { id: replayId } = await webhooks.replayDeliveries();
      await start();
      await receiver.untilArrived(1_500);
      await signals.next(completed);

      expect(receiver.seen.size).toBe(1_500);
      expect(receiver.mostOfOne()).toBe(1);
      expect(await webhooks.getReplay(replayId)).toMatchObject({ releasedCount: 1_500, deliveredCount: 1_500 });
    } finally {
      for (const replayer of replayers) await replayer.stop();
      if (other !== database) await other.close();
    }
  });
});

test('a database that is away for a moment is reported, and the replay goes on afterwards', async () => {
  const database = await openTestDatabase('postgres');
  const signals = observed();
  const replayer = new Replayer({ database, observe: signals.observe });
  try {
    await sql`alter table moonguard.replay_lanes rename to replay_lanes_away`.execute(database.db);
    await replayer.start();
    await signals.next(({ type }) => type === 'replay.release_failed');
    await sql`alter table moonguard.replay_lanes_away rename to replay_lanes`.execute(database.db);
    const moonguard = await createMoonguard({ database, masterKey, allowLoopbackDestinations: true });
    const receiver = await countingReceiver();
    const { id } = await moonguard.webhooks.createWebhook({
      url: receiver.url,
      events: ['*'],
      environment: 'sandbox',
    });
    await insertPastDeliveries(database, { endpointId: id });
    await moonguard.webhooks.replayDeliveries();

    await signals.next(({ type }) => type === 'replay.released');
  } finally {
    await replayer.stop();
    await database.close();
  }
});
