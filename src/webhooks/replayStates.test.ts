import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertPastDeliveries } from '../../test/support/pastDeliveries.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { openWebhooks } from '../../test/support/webhooks.ts';
import { listReplayLanes } from '../deliver/store/listReplayLanes.ts';
import { releaseReplayLane } from '../deliver/store/releaseReplayLane.ts';
import { replayableStatuses } from './replay.ts';
import type { WebhookHandler } from './WebhookHandler.ts';

/** What people and workers do, in any order. */
type Step =
  | { does: 'begin'; status: (typeof replayableStatuses)[number][] }
  | { does: 'release'; window: number; batch: number; lookAt: number }
  | { does: 'lease' | 'deliver' | 'fail'; place: number }
  | { does: 'stop' | 'resume' | 'cancel' };

const small = fc.integer({ min: 1, max: 4 });
const place = fc.nat({ max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant('begin'), status: fc.subarray([...replayableStatuses], { minLength: 1 }) }),
  { weight: 4, arbitrary: fc.record({ does: fc.constant('release'), window: small, batch: small, lookAt: small }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constantFrom('lease', 'deliver', 'fail'), place }) },
  fc.record({ does: fc.constantFrom('stop', 'resume', 'cancel') }),
);

interface Row {
  readonly id: string;
  readonly status: string;
  readonly replayId: string | null;
  readonly leased: boolean;
}

forEachDatabase('whatever people and workers do with replays', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database));
  });
  afterAll(() => database.close());

  async function readRows(): Promise<Row[]> {
    const { rows } = await sql<Row>`
      select id, status, replay_id as "replayId", leased_until is not null as leased from moonguard.deliveries order by event_id
    `.execute(database.db);
    return rows;
  }

  const change = (row: Row | undefined, columns: string): Promise<void> =>
    database.runScript(
      `update moonguard.deliveries set ${columns} where id = '${row?.id ?? '00000000-0000-0000-0000-000000000000'}'`,
    );

  const isPending = ({ status }: Row): boolean => status === 'pending';
  const NO_LEASE = 'lease_token = null, leased_until = null';
  const NO_RESEND = 'resend_from = null, resend_next_attempt_at = null';

  async function act(endpointId: string, waiting: readonly Row[], given: Step): Promise<void> {
    switch (given.does) {
      case 'begin':
        await webhooks.replayDeliveries({ status: given.status });
        return;
      case 'release':
        for (const lane of await listReplayLanes(database.db)) await releaseReplayLane(database.db, lane, given);
        return;
      case 'lease':
        return change(
          waiting[given.place],
          "lease_token = gen_random_uuid(), leased_until = now() + interval '1 hour'",
        );
      case 'deliver':
        return change(waiting[given.place], `status = 'delivered', settled_at = now(), ${NO_LEASE}, ${NO_RESEND}`);
      case 'fail':
        return change(
          waiting[given.place],
          `status = coalesce(resend_from, 'pending'), ${NO_LEASE}, ${NO_RESEND},
            next_attempt_at = coalesce(resend_next_attempt_at, now() + interval '1 hour')`,
        );
      case 'stop':
        await webhooks.suspendWebhook(endpointId);
        return;
      case 'resume':
        await webhooks.resumeWebhook(endpointId);
        return;
      case 'cancel': {
        const { items } = await webhooks.listReplays();
        const running = items.find(({ status }) => status === 'running');
        if (running !== undefined) await webhooks.cancelReplay(running.id);
      }
    }
  }

  test('each delivery is released at most once by each, the counts add up, and an end is an end', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        await database.runScript(
          'delete from moonguard.replays; delete from moonpay_webhook_events; delete from moonpay_webhook_config;',
        );
        const endpoint = { url: 'https://example.com/hook', events: ['*'], environment: 'sandbox' } as const;
        const { id: endpointId } = await webhooks.createWebhook(endpoint);
        for (const status of replayableStatuses) await insertPastDeliveries(database, { endpointId, count: 3, status });

        const releases = new Map<string, number>();
        const ended = new Map<string, unknown>();
        const tried = new Set<string>();
        let before = await readRows();
        for (const each of steps) {
          const waiting = before.filter(isPending);
          if (each.does === 'fail') tried.add(waiting[each.place]?.id ?? '');
          await act(endpointId, waiting, each);
          const after = await readRows();
          for (const [index, row] of after.entries()) {
            const wasPending = before[index]?.status === 'pending';
            if (each.does !== 'release' || !isPending(row) || wasPending) continue;
            tried.delete(row.id);
            const release = `${row.replayId}/${row.id}`;
            releases.set(release, (releases.get(release) ?? 0) + 1);
          }
          before = after;

          for (const replay of (await webhooks.listReplays()).items) {
            const { id, status, totalCount, releasedCount, skippedCount } = replay;
            expect(releasedCount + skippedCount).toBeLessThanOrEqual(totalCount);
            if (status === 'running') continue;
            if (!ended.has(id)) ended.set(id, replay);
            expect(replay).toEqual(ended.get(id));
            const left = after.filter(
              (row) => isPending(row) && row.replayId === id && !row.leased && !tried.has(row.id),
            );
            expect(left).toEqual([]);
          }
        }
        expect(Math.max(0, ...releases.values())).toBeLessThanOrEqual(1);
      }),
      { numRuns: 25 },
    );
  });
});
