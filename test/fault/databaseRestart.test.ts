import { expect, onTestFinished, test } from 'vitest';
import { startPostgres } from '../support/postgresServer.ts';
import { reported, startMember, untilReported } from './cluster.ts';
import { acknowledgedBodies } from './eventStream.ts';
import { webhookIds } from './installation.ts';
import { further, furtherTurnedDown, startLoad } from './load.ts';
import { byId, startRecordingReceiver } from './recordingReceiver.ts';
import { createWatch } from './watch.ts';

test('behaviour 22: the database restarts under load, as an operator does it and as a crash: all goes on by itself, nothing is lost', {
  timeout: 300_000,
}, async () => {
  const postgres = await startPostgres();
  onTestFinished(() => postgres.stop());
  const receiver = await startRecordingReceiver();
  const options = { databaseUrl: postgres.url(), leaseMs: 3_000 };
  const watch = createWatch();
  const first = await startMember(options, watch);
  const members = [first, await startMember(options, watch)];
  const { moonguard } = first;
  await moonguard.webhooks.createWebhook({
    url: receiver.url,
    events: ['*'],
    environment: 'sandbox',
    deliverySettings: { timeout_ms: 3_000 },
  });

  const { stream, end } = startLoad(members);
  for (const mode of ['fast', 'immediate'] as const) {
    await further(stream, 100);
    const restored = members.map((member) => reported(member, 'database.listen_restored'));
    await postgres.shutDown(mode);
    await furtherTurnedDown(stream, 20);
    await postgres.startAgain();
    for (const [place, member] of members.entries()) {
      await untilReported(member, 'database.listen_restored', (restored[place] ?? 0) + 1);
    }
    await further(stream, 100);
  }
  const events = await end();

  expect(stream.turnedDown.filter(({ status }) => status !== 503)).toEqual([]);
  expect(stream.slowestAnswerMs).toBeLessThan(5_000);
  const bodies = acknowledgedBodies(stream);
  expect(bodies.size).toBe(events);
  await receiver.untilSeen(bodies.keys());
  const delivered = (): number => members.reduce((sum, member) => sum + reported(member, 'delivery.delivered'), 0);
  await watch.until(
    () => delivered() >= events,
    () => `${delivered()} of ${events} deliveries are recorded`,
  );
  expect(await moonguard.inventory()).toMatchObject({ events, deliveries: events });

  // A result that could not be written under its lease is the one reason to send again.
  const idOfDelivery = await webhookIds(moonguard);
  const lost = members
    .flatMap(({ observations }) => observations)
    .filter((observation) => observation.type === 'delivery.lease_lost')
    .map(({ deliveryId }) => idOfDelivery.get(deliveryId));
  for (const [id, arrivals] of byId(receiver.arrivals)) {
    expect(arrivals.filter(({ body }) => bodies.get(id)?.equals(body) !== true)).toEqual([]);
    if (arrivals.length > 1) expect(lost).toContain(id);
  }
});
