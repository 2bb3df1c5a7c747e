import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertPastDeliveries } from '../../../test/support/pastDeliveries.ts';
import { forEachDatabase, type TestDatabase } from '../../../test/support/testDatabase.ts';
import { openWebhooks } from '../../../test/support/webhooks.ts';
import type { WebhookHandler } from '../../webhooks/WebhookHandler.ts';
import { listReplayLanes } from './listReplayLanes.ts';
import { releaseReplayLane } from './releaseReplayLane.ts';

const DELIVERIES = 100_000;
const bounds = { window: 1_000, batch: 500, lookAt: 5_000 };

forEachDatabase('a replay among 100,000 deliveries', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  let endpointId: string;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
    const endpoint = { url: 'https://example.com/hook', events: ['*'], environment: 'sandbox' } as const;
    ({ id: endpointId } = await webhooks.createWebhook(endpoint));
    await insertPastDeliveries(database, { endpointId, count: DELIVERIES, status: 'delivered' });
    await insertPastDeliveries(database, { endpointId, count: 10, secondsAgo: 60 });
    // Due, and nothing to do with a replay.
    await insertPastDeliveries(database, { endpointId, count: 2_000, status: 'pending', secondsAgo: 30 });
  }, 120_000);
  afterAll(() => database.close());

  /** Scans of whole tables, and rows fetched by an index, since the database was made. */
  async function reads(): Promise<{ wholeTables: number; rowsByIndex: number }> {
    // What this session did is counted when its transaction ends.
    await sql`select pg_stat_force_next_flush()`.execute(database.db);
    const { rows } = await sql<{ wholeTables: number; rowsByIndex: number }>`
      select sum(seq_scan)::integer as "wholeTables", sum(idx_tup_fetch)::integer as "rowsByIndex"
      from pg_stat_user_tables where relname in ('deliveries', 'moonpay_webhook_events')
    `.execute(database.db);
    return rows[0] ?? { wholeTables: Number.NaN, rowsByIndex: Number.NaN };
  }

  test('every batch reads the same few rows by an index, and no whole table', { timeout: 180_000 }, async () => {
    const { id } = await webhooks.replayDeliveries({ status: 'delivered', events: ['transaction.*'] });
    const rowsRead: number[] = [];
    for (
      let [lane] = await listReplayLanes(database.db);
      lane !== undefined;
      [lane] = await listReplayLanes(database.db)
    ) {
      const before = await reads();
      const { released } = await releaseReplayLane(database.db, lane, bounds);
      const after = await reads();
      expect(after.wholeTables).toBe(before.wholeTables);
      if (released > 0) rowsRead.push(after.rowsByIndex - before.rowsByIndex);
      await sql`
        update moonguard.deliveries set status = 'delivered', settled_at = now(), resend_from = null, resend_next_attempt_at = null
        where status = 'pending' and replay_id = ${id}
      `.execute(database.db);
    }

    expect(rowsRead).toHaveLength(DELIVERIES / bounds.batch);
    // Each delivery to look at it, for the name of its event, to lock it and to change it.
    expect(new Set(rowsRead)).toEqual(new Set([4 * bounds.batch]));
    expect(await webhooks.getReplay(id)).toMatchObject({
      status: 'completed',
      releasedCount: DELIVERIES,
      deliveredCount: DELIVERIES,
    });
  });

  test('the few that it is about are found in bounded steps', async () => {
    const { totalCount } = await webhooks.replayDeliveries({ events: ['transaction.*'], since: new Date(0) });
    const [lane] = await listReplayLanes(database.db);
    if (lane === undefined) throw new Error('the replay has no lane');

    expect(totalCount).toBe(10);
    // It begins where the first of them is, not at the first delivery of the endpoint.
    expect(await releaseReplayLane(database.db, lane, bounds)).toMatchObject({ released: 10, goesOn: false });
  });
});
