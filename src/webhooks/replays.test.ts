import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { insertPastDeliveries, type PastDeliveries } from '../../test/support/pastDeliveries.ts';
import { openReplays, type ReplayTurns } from '../../test/support/replays.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import { listReplayLanes } from '../deliver/store/listReplayLanes.ts';
import { releaseReplayLane } from '../deliver/store/releaseReplayLane.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

/** What a rate that was not used leaves over. */
const MOMENT_SECONDS = 0.25;

forEachDatabase('replays, as the database carries them out', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let replays: ReplayTurns;
  let endpointId: string;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
    replays = openReplays(database, webhooks);
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    endpointId = await replays.begin();
  });

  const past = (deliveries: Partial<PastDeliveries> = {}): Promise<string[]> =>
    insertPastDeliveries(database, { endpointId, ...deliveries });

  describe('releases', () => {
    test('a held delivery into its schedule, another for one request outside of it', async () => {
      const [held = ''] = await past({ status: 'held' });
      const [exhausted = ''] = await past({ status: 'exhausted' });
      const [before] = await replays.rowsOf([exhausted]);
      const { id } = await webhooks.replayDeliveries();

      await replays.turn();

      expect(await replays.rowsOf([held])).toMatchObject([{ status: 'pending', resend_from: null, replay_id: id }]);
      expect(await replays.rowsOf([exhausted])).toMatchObject([
        {
          status: 'pending',
          resend_from: 'exhausted',
          resend_next_attempt_at: before?.['next_attempt_at'],
          replay_id: id,
        },
      ]);
    });

    test('with the order that the endpoint has now', async () => {
      const ids = await past();
      await sql`update moonpay_webhook_events set entity_type = 'transaction', entity_id = 't1'`.execute(database.db);
      await webhooks.updateWebhook(endpointId, { deliverySettings: { ordering: 'entity' } });
      await webhooks.replayDeliveries();

      await replays.turn();

      expect(await replays.rowsOf(ids)).toMatchObject([{ ordering_key: 'transaction:t1' }]);
    });

    test('each once, in the order of their events, however small the batches', async () => {
      const ids = await past({ count: 25 });
      await past({ count: 25, status: 'delivered' });
      const { id } = await webhooks.replayDeliveries();

      const order: string[] = [];
      for (let turns = 0; (await webhooks.getReplay(id)).status === 'running' && turns < 50; turns++) {
        await replays.turn({ batch: 3, lookAt: 7 });
        order.push(...(await replays.pending()));
        await replays.settle('delivered');
      }

      expect(order).toEqual(ids);
      expect(await webhooks.getReplay(id)).toMatchObject({
        status: 'completed',
        releasedCount: 25,
        deliveredCount: 25,
      });
    });

    test('no more at a time than the window lets wait', async () => {
      await past({ count: 10 });
      await webhooks.replayDeliveries();

      expect(await replays.turn({ window: 4, batch: 3 })).toBe(3);
      expect(await replays.turn({ window: 4, batch: 3 })).toBe(1);
      expect(await replays.turn({ window: 4, batch: 3 })).toBe(0);
      await replays.settle('delivered');
      expect(await replays.turn({ window: 4, batch: 3 })).toBe(3);
    });

    test('and says whether more could be done at this moment', async () => {
      await past({ count: 2, secondsAgo: 60 });
      await past({ count: 3, status: 'delivered', secondsAgo: 50 });
      await past({ count: 2, secondsAgo: 40 });
      await webhooks.replayDeliveries();
      const [lane] = await listReplayLanes(database.db);
      if (lane === undefined) throw new Error('the replay has no lane');
      const release = () => releaseReplayLane(database.db, lane, { window: 3, batch: 2, lookAt: 3 });

      const batches = [await release(), await release(), await release(), await release()];

      expect(batches).toMatchObject([
        { released: 2, goesOn: true },
        { released: 0, goesOn: true }, // the next ones are others
        { released: 1, goesOn: false }, // there is no more room
        { released: 0, goesOn: false },
      ]);
    });

    test('to other endpoints while one takes nothing', async () => {
      const other = await replays.createEndpoint();
      await past({ count: 10 });
      const others = await past({ count: 10, endpointId: other });
      await webhooks.replayDeliveries();
      for (let turns = 0; turns < 10; turns++) {
        await replays.turn({ window: 4, batch: 4 });
        await sql`update moonguard.deliveries set status = 'delivered', settled_at = now() where status = 'pending' and endpoint_id = ${other}`.execute(
          database.db,
        );
      }

      expect(await replays.rowsOf(others)).toMatchObject(others.map(() => ({ status: 'delivered' })));
      expect(await replays.pending()).toHaveLength(4);
    });

    test('no faster than its rate, whatever the moments at which somebody looks', async () => {
      await past({ count: 60 });
      const { id, createdAt } = await webhooks.replayDeliveries({ ratePerSecond: 10 });

      let released = 0;
      // Every 100 ms, then after a pause of 2 s: what was not used meanwhile is lost.
      const momentsMs = [
        ...Array.from({ length: 30 }, (_, n) => n * 100),
        ...Array.from({ length: 20 }, (_, n) => 5_000 + n * 100),
      ];
      for (const ms of momentsMs) {
        released += await replays.turn({ now: new Date(createdAt.getTime() + ms) });
        const atMost = ms < 5_000 ? (ms / 1000) * 10 : ((ms - 2_000) / 1000 + MOMENT_SECONDS) * 10 + 1;
        expect(released).toBeLessThanOrEqual(atMost);
      }

      expect(released).toBeGreaterThanOrEqual(47);
      expect(await webhooks.getReplay(id)).toMatchObject({ ratePerSecond: 10, releasedCount: released });
    });

    test('one every two seconds at a rate of a half', async () => {
      await past({ count: 3 });
      const { createdAt } = await webhooks.replayDeliveries({ ratePerSecond: 0.5 });
      const at = (seconds: number) => replays.turn({ now: new Date(createdAt.getTime() + seconds * 1000) });

      expect([await at(1), await at(2.1), await at(3), await at(4.2), await at(60)]).toEqual([0, 1, 0, 1, 1]);
    });

    test('and wakes the workers', async () => {
      await past();
      await webhooks.replayDeliveries();
      const woken = Promise.withResolvers<void>();
      const stopListening = await database.listen('moonguard_deliveries', () => woken.resolve());

      await replays.turn();

      await woken.promise;
      await stopListening();
    });
  });

  describe('an endpoint that is stopped half-way', () => {
    test('gets nothing more; what it has not got counts as skipped and stays as it was', async () => {
      const ids = await past({ count: 10, status: 'exhausted' });
      const { id } = await webhooks.replayDeliveries();
      await replays.turn({ batch: 4 });
      await webhooks.suspendWebhook(endpointId);

      await replays.turn();

      expect(await webhooks.getReplay(id)).toMatchObject({
        status: 'completed',
        releasedCount: 4,
        skippedCount: 6,
        failedCount: 4,
      });
      expect(await replays.rowsOf(ids)).toMatchObject(ids.map(() => ({ status: 'exhausted', resend_from: null })));
    });

    test('does not stop the others', async () => {
      const other = await replays.createEndpoint();
      await past({ count: 3 });
      const others = await past({ count: 3, endpointId: other });
      await webhooks.replayDeliveries();
      await webhooks.deleteWebhook(endpointId);

      await replays.turn();

      expect(await replays.pending()).toEqual(others);
    });
  });

  describe('progress', () => {
    test('says what became of the released', async () => {
      const ids = await past({ count: 5 });
      await past({ count: 5, secondsAgo: 60 });
      const { id } = await webhooks.replayDeliveries();
      expect(await webhooks.getReplay(id)).toMatchObject({ estimatedEndAt: null });
      await replays.turn({ batch: 5 });
      const [delivered, filtered, failed, retried] = ids;
      const become = (deliveryId: string | undefined, columns: string) =>
        database.runScript(`update moonguard.deliveries set ${columns} where id = '${deliveryId}'`);
      await become(delivered, "status = 'delivered', settled_at = now()");
      await become(filtered, "status = 'filtered', settled_at = now()");
      await become(failed, "status = 'exhausted', settled_at = now()");
      await become(retried, "next_attempt_at = now() + interval '1 minute'");

      const replay = await webhooks.getReplay(id);

      expect(replay).toMatchObject({
        status: 'running',
        totalCount: 10,
        releasedCount: 5,
        deliveredCount: 1,
        filteredCount: 1,
        failedCount: 2,
        waitingCount: 1,
        skippedCount: 0,
        finishedAt: null,
      });
      const { createdAt, estimatedEndAt } = replay;
      const elapsedAtMost = Date.now() - createdAt.getTime() + 1_000;
      expect(estimatedEndAt?.getTime()).toBeGreaterThan(createdAt.getTime());
      expect(estimatedEndAt?.getTime()).toBeLessThan(createdAt.getTime() + elapsedAtMost * 3);
    });

    test('a resend that failed is what it was, and is told from one that succeeded', async () => {
      const [succeeded = '', inVain = ''] = await past({ count: 2, status: 'delivered' });
      const { id } = await webhooks.replayDeliveries({ status: 'delivered' });
      await replays.turn();
      const resent = "status = 'delivered', resend_from = null, resend_next_attempt_at = null";
      await database.runScript(`update moonguard.deliveries set ${resent}, settled_at = now() where id = '${succeeded}';
        update moonguard.deliveries set ${resent}, last_error_class = 'timeout' where id = '${inVain}'`);

      expect(await webhooks.getReplay(id)).toMatchObject({ deliveredCount: 1, failedCount: 1 });
    });

    test('the end comes when all were tried, not when all were released, and its figures stay', async () => {
      await past({ count: 2 });
      const { id } = await webhooks.replayDeliveries({}, { actor: 'maria' });
      await replays.turn();
      await replays.turn();
      expect(await webhooks.getReplay(id)).toMatchObject({ status: 'running', releasedCount: 2, waitingCount: 2 });
      await replays.settle('delivered');
      await replays.turn();
      const ended = await webhooks.getReplay(id);
      await webhooks.replayDeliveries({ status: 'delivered' });
      await replays.turn();

      expect(ended).toMatchObject({
        status: 'completed',
        deliveredCount: 2,
        createdBy: 'maria',
        finishedAt: expect.any(Date),
      });
      expect(await webhooks.getReplay(id)).toEqual(ended);
    });

    test('pages, the newest first', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 3; i++) ids.push((await webhooks.replayDeliveries()).id);

      const first = await webhooks.listReplays({ limit: 2 });
      const second = await webhooks.listReplays({ limit: 2, cursor: first.nextCursor });

      expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids.toReversed());
      expect(second.nextCursor).toBeUndefined();
    });
  });

  describe('cancelling', () => {
    test('puts back what no worker has; what one has is finished', async () => {
      const held = await past({ count: 2, status: 'held' });
      const exhausted = await past({ count: 3, status: 'exhausted', secondsAgo: 60 });
      await past({ count: 5, status: 'exhausted', secondsAgo: 30 });
      const before = await replays.rowsOf([...held, ...exhausted]);
      const { id } = await webhooks.replayDeliveries();
      await replays.turn({ batch: 5 });
      const [, taken, abandoned] = exhausted;
      const lease = (deliveryId: string | undefined, until: string) =>
        database.runScript(
          `update moonguard.deliveries set lease_token = gen_random_uuid(), leased_until = now() + '${until}' where id = '${deliveryId}'`,
        );
      await lease(taken, '1 minute');
      await lease(abandoned, '-1 minute');

      const cancelled = await webhooks.cancelReplay(id, { actor: 'maria' });
      await replays.turn();

      expect(cancelled).toMatchObject({
        status: 'cancelled',
        cancelledBy: 'maria',
        releasedCount: 1,
        totalCount: 10,
        finishedAt: expect.any(Date),
      });
      expect(await replays.pending()).toEqual([taken]);
      const untouched = [...held, exhausted[0], abandoned];
      const isHeld = (row: Record<string, unknown>): boolean => row['status'] === 'held';
      const after = (await replays.rowsOf([...held, ...exhausted])).filter(({ id: each }) => each !== taken);
      // A held one is not due before it is released again.
      expect(after.filter((row) => !isHeld(row))).toEqual(before.filter((row) => !isHeld(row) && row['id'] !== taken));
      expect(after.map((row) => row['id'])).toEqual(untouched);
      expect(after.filter(isHeld)).toMatchObject(held.map(() => ({ replay_id: null, resend_from: null })));
    });

    test('leaves a held delivery that was tried to its schedule', async () => {
      const [tried = ''] = await past();
      await past({ secondsAgo: 60 });
      const { id } = await webhooks.replayDeliveries();
      await replays.turn({ batch: 1 });
      await sql`update moonguard.deliveries set next_attempt_at = now() + interval '1 minute', attempts_count = 1 where id = ${tried}`.execute(
        database.db,
      );

      await webhooks.cancelReplay(id);

      expect(await replays.pending()).toEqual([tried]);
    });

    test('is refused once it has ended', async () => {
      await past();
      const { id } = await webhooks.replayDeliveries();
      await webhooks.cancelReplay(id);

      await expect(webhooks.cancelReplay(id)).rejects.toMatchObject({ code: 'replay_finished' });
    });
  });

  test('a replay that is begun in a transaction that is rolled back never was', async () => {
    await past();
    const undone = database.transaction(async (transaction) => {
      await webhooks.replayDeliveries({}, { transaction });
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');

    expect((await webhooks.listReplays()).items).toEqual([]);
  });
});
