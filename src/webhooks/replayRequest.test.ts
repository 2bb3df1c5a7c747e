import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { insertPastDeliveries, type PastDeliveries } from '../../test/support/pastDeliveries.ts';
import { openReplays, type ReplayTurns } from '../../test/support/replays.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import { type ReplayRequest, replayableStatuses, replayStatuses } from './replay.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

forEachDatabase('a replay', (open) => {
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

  describe('is about', () => {
    test('what was never delivered, when nothing is said', async () => {
      const held = await past({ status: 'held' });
      const exhausted = await past({ status: 'exhausted' });
      for (const status of ['delivered', 'filtered', 'pending'] as const) await past({ status });

      const replay = await webhooks.replayDeliveries();
      const waiting = await replays.pending();
      await replays.turn();

      expect(replay).toMatchObject({
        status: 'running',
        totalCount: 2,
        statuses: ['exhausted', 'held'],
        releasedCount: 0,
      });
      expect((await replays.pending()).filter((id) => !waiting.includes(id)).toSorted()).toEqual(
        [...held, ...exhausted].toSorted(),
      );
    });

    test.each<[string, (own: string) => ReplayRequest, readonly string[]]>([
      ['one status', () => ({ status: 'delivered' }), ['delivered']],
      [
        'several statuses',
        () => ({ status: ['held', 'filtered'] }),
        ['held', 'filtered', 'elsewhere', 'old', 'oldest', 'other event'],
      ],
      ['an event', () => ({ events: ['customer.kyc_completed'] }), ['other event']],
      ['events with a wildcard', () => ({ events: ['customer.*', 'swap.created'] }), ['other event']],
      ['any event', () => ({ events: ['*'] }), ['held', 'exhausted', 'elsewhere', 'old', 'oldest', 'other event']],
      ['an endpoint', (own) => ({ webhookId: own }), ['held', 'exhausted', 'old', 'oldest', 'other event']],
      ['later than', () => ({ since: hoursAgo(2) }), ['held', 'exhausted', 'elsewhere', 'other event']],
      ['earlier than', () => ({ until: hoursAgo(2) }), ['old', 'oldest']],
      ['between', () => ({ since: hoursAgo(30), until: hoursAgo(2), status: 'held' }), ['old']],
      ['between, long ago', () => ({ since: hoursAgo(60), until: hoursAgo(30), status: 'held' }), ['oldest']],
      [
        'all of these',
        (own) => ({ webhookId: own, status: 'held', events: ['transaction.*'], since: hoursAgo(2) }),
        ['held'],
      ],
    ])('%s', async (_, request, expected) => {
      const elsewhere = await replays.createEndpoint();
      const made = new Map<string, string>();
      for (const status of replayableStatuses) for (const id of await past({ status })) made.set(id, status);
      for (const id of await past({ endpointId: elsewhere })) made.set(id, 'elsewhere');
      for (const id of await past({ secondsAgo: 5 * 3600 })) made.set(id, 'old');
      for (const id of await past({ secondsAgo: 50 * 3600 })) made.set(id, 'oldest');
      for (const id of await past({ eventName: 'customer.kyc_completed' })) made.set(id, 'other event');

      const { totalCount } = await webhooks.replayDeliveries(request(endpointId));
      await replays.turn();

      const released = (await replays.pending()).map((id) => made.get(id) ?? id);
      expect(released.toSorted()).toEqual(expected.toSorted());
      expect(totalCount).toBe(expected.length);
    });

    test('an endpoint by its webhook_id', async () => {
      const { webhookId } = await webhooks.getWebhook(endpointId);
      await past();

      expect(await webhooks.replayDeliveries({ webhookId })).toMatchObject({ webhookId, totalCount: 1 });
    });

    test('nothing: then it has ended at once', async () => {
      expect(await webhooks.replayDeliveries()).toMatchObject({ status: 'completed', totalCount: 0, failedCount: 0 });
    });

    test('nothing that is made, or settled, after it began', async () => {
      const [old = ''] = await past({ secondsAgo: 3 * 3600 });
      const [waiting = ''] = await past({ status: 'pending', secondsAgo: 2 * 3600 });
      const [newer = ''] = await past({ secondsAgo: 3600 });
      await webhooks.replayDeliveries({ status: ['held', 'delivered'] });
      const [later = ''] = await past({ secondsAgo: 0 });
      await sql`
        update moonguard.deliveries set status = 'delivered', settled_at = now() + interval '1 second' where id = ${waiting}
      `.execute(database.db);

      await replays.turn();
      await replays.turn();

      expect(await replays.pending()).toEqual([old, newer]);
      expect(await replays.rowsOf([later])).toMatchObject([{ status: 'held' }]);
    });
  });

  describe('refuses', () => {
    test.each<[string, ReplayRequest, string]>([
      ['an event name that no event has', { events: ['Transaction'] }, 'events.0'],
      ['no events', { events: [] }, 'events'],
      ['a rate of nothing', { ratePerSecond: 0 }, 'ratePerSecond'],
      ['a span that is none', { since: hoursAgo(1), until: hoursAgo(2) }, 'until'],
    ])('%s', async (_, request, field) => {
      await expect(async () => webhooks.replayDeliveries(request)).rejects.toMatchObject({
        code: 'request_invalid',
        field,
      });
    });

    test('an endpoint that is stopped, and one that is not there', async () => {
      await webhooks.suspendWebhook(endpointId);
      await expect(webhooks.replayDeliveries({ webhookId: endpointId })).rejects.toMatchObject({
        code: 'webhook_status_conflict',
      });
      await expect(webhooks.replayDeliveries({ webhookId: 'wh_x' })).rejects.toMatchObject({
        code: 'webhook_not_found',
      });
    });

    test.each(['nothing', randomUUID()])('the id %s', async (id) => {
      await expect(webhooks.getReplay(id)).rejects.toMatchObject({ code: 'replay_not_found' });
      await expect(webhooks.cancelReplay(id)).rejects.toMatchObject({ code: 'replay_not_found' });
    });
  });

  test('the lists of statuses are those of the table', async () => {
    const { rows } = await sql<{ name: string; words: string[] }>`
      select conname as name, array(select m[1] from regexp_matches(pg_get_constraintdef(oid), '''([a-z]+)''::text', 'g') as m order by 1) as words
      from pg_constraint where conname in ('replays_status_check', 'replays_statuses_check') order by conname
    `.execute(database.db);

    expect(rows.map(({ words }) => words)).toEqual([
      [...replayStatuses].toSorted(),
      [...replayableStatuses].toSorted(),
    ]);
  });
});

function hoursAgo(hours: number): Date {
  return new Date(Date.now() - hours * 3_600_000);
}
