import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { playScenario } from '../../src/simulate/scenario.ts';
import { acknowledgedBodies, createEventStream } from './eventStream.ts';
import { openInstallation, urlOf, withMoonguard } from './installation.ts';
import { byId, startRecordingReceiver } from './recordingReceiver.ts';

const LEASE_MS = 2_000;
const TIMEOUT_MS = 2_000;
/** A lease is for the endpoint's timeout and this much more. */
const LEASED_FOR_MS = TIMEOUT_MS + LEASE_MS;

test.each<Database['kind']>(['postgres', 'embedded'])(
  'behaviour 21: what a worker had in flight when it was killed with -9 is delivered by another once the lease has ended (%s)',
  { timeout: 120_000 },
  async (kind) => {
    const installation = await openInstallation(kind, { leaseMs: LEASE_MS });
    let answers = false;
    const receiver = await startRecordingReceiver((response) => {
      if (answers) response.end();
    });
    const { id: webhookId } = await withMoonguard(installation.options, ({ webhooks }) =>
      webhooks.createWebhook({
        url: receiver.url,
        events: ['*'],
        environment: 'sandbox',
        deliverySettings: { timeout_ms: TIMEOUT_MS },
      }),
    );
    // It stands still, ready to go on, so that the other one takes every delivery. The embedded database is open once.
    const other = kind === 'postgres' ? installation.start() : undefined;
    if (other !== undefined) await urlOf(other);
    other?.kill('SIGSTOP');
    const killed = installation.start();
    const stream = createEventStream(playScenario('buy', systemRuntime));
    await stream.run([await urlOf(killed)]);
    const bodies = acknowledgedBodies(stream);
    await receiver.untilSeen(bodies.keys());

    killed.kill('SIGKILL');
    other?.kill('SIGCONT');
    answers = true;
    await killed.untilExit();
    const successor = other ?? installation.start();
    await receiver.until(
      () => receiver.arrivals.length === 2 * bodies.size,
      () => `${receiver.arrivals.length - bodies.size} of ${bodies.size} came again`,
    );

    for (const [id, arrivals] of byId(receiver.arrivals)) {
      expect(arrivals.map(({ body }) => body)).toEqual([bodies.get(id), bodies.get(id)]);
      const [first = Number.NaN, second] = arrivals.map(({ atMs }) => atMs);
      // The embedded database forgets a lease that a crash keeps from the disk, and begins again at its next start.
      if (kind === 'embedded') continue;
      // It was leased shortly before it came the first time.
      expect(second).toBeGreaterThan(first + LEASED_FOR_MS - 1_000);
      expect(second).toBeLessThanOrEqual(first + LEASED_FOR_MS + 1_000);
    }
    await urlOf(successor);
    successor.kill('SIGTERM');
    expect(await successor.untilExit()).toMatchObject({ code: 0 });
    await withMoonguard(installation.options, async ({ webhooks }) => {
      const { items } = await webhooks.listDeliveries({ webhookId });
      expect(items.map(({ status, attemptsCount }) => ({ status, attemptsCount }))).toEqual(
        Array.from(bodies, () => ({ status: 'delivered', attemptsCount: 1 })),
      );
    });
  },
);
