import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { createMoonguard } from '../../src/moonguard.ts';
import { insertPastDeliveries } from '../support/pastDeliveries.ts';
import { observed } from '../support/signals.ts';
import { openInstallation, urlOf, webhookIds, withMoonguard } from './installation.ts';
import { byId, startRecordingReceiver } from './recordingReceiver.ts';

const DELIVERIES = 1_200;
/** How long the survivor waits, besides the lease, for what was in flight. */
const TIMEOUT_MS = 5_000;
/** What a server may have sent without having written it down when it is killed: its slots for one endpoint, and a batch of results. */
const UNSETTLED = 128 + 1_000;

test.each<Database['kind']>(['embedded', 'postgres'])(
  'a server that is killed with -9 in the middle of a replay: the next one goes on, and releases none twice (%s)',
  { timeout: 120_000 },
  async (kind) => {
    const installation = await openInstallation(kind, { leaseMs: 1_000 });
    const receiver = await startRecordingReceiver();
    const replayId = await withMoonguard(installation.options, async ({ webhooks, database }) => {
      const { id: endpointId } = await webhooks.createWebhook({
        url: receiver.url,
        events: ['*'],
        environment: 'sandbox',
        deliverySettings: { timeout_ms: TIMEOUT_MS },
      });
      await insertPastDeliveries(database, { endpointId, count: DELIVERIES, status: 'exhausted' });
      return (await webhooks.replayDeliveries()).id;
    });

    const killed = installation.start();
    await urlOf(killed);
    await receiver.until(
      () => receiver.arrivals.length >= 400,
      () => `${receiver.arrivals.length} arrived`,
    );
    killed.kill('SIGKILL');
    await killed.untilExit();
    const arrivedBefore = byId(receiver.arrivals).size;

    const { observe, next } = observed();
    // Few at a time: it shares this thread with the receiver. Its own leases are not to end early.
    const options = { ...installation.options, leaseMs: 15_000, deliveryConcurrency: 16 };
    const survivor = await createMoonguard({ ...options, observe });
    try {
      const half = await survivor.webhooks.getReplay(replayId);
      await survivor.start();
      await receiver.untilSeen((await webhookIds(survivor)).values());
      await next(({ type }) => type === 'replay.completed');

      expect(half).toMatchObject({ status: 'running', totalCount: DELIVERIES });
      expect(arrivedBefore).toBeLessThan(DELIVERIES);
      const replay = await survivor.webhooks.getReplay(replayId);
      expect(replay).toMatchObject({ status: 'completed', releasedCount: DELIVERIES, waitingCount: 0 });
      // A machine that is busy enough lets a request time out.
      expect(replay.deliveredCount + replay.failedCount).toBe(DELIVERIES);
      const timesEach = [...byId(receiver.arrivals).values()].map((arrivals) => arrivals.length);
      expect(Math.max(...timesEach)).toBeLessThanOrEqual(2);
      expect(timesEach.filter((times) => times === 2).length).toBeLessThanOrEqual(UNSETTLED);
    } finally {
      await survivor.stop();
    }
  },
);
