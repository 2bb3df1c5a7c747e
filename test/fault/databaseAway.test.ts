import { sql } from 'kysely';
import { Client } from 'pg';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { type CuttableProxy, startProxy } from '../support/cuttableProxy.ts';
import { buyEvent, webhookRequest } from '../support/moonpay.ts';
import { receiverOn } from '../support/receivers.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';
import { type Member, reported, startMember, untilReported } from './cluster.ts';
import { acknowledgedBodies } from './eventStream.ts';
import { further, furtherTurnedDown, type Load, startLoad } from './load.ts';
import { type RecordingReceiver, startRecordingReceiver } from './recordingReceiver.ts';

// Everything takes its time on busy cores.
vi.setConfig({ testTimeout: 120_000 });

/** MoonPay gives up on a connection after this. */
const MOONPAY_WAITS_MS = 5_000;

let database: TestPostgres;
let proxy: CuttableProxy;
let receiver: RecordingReceiver;
let member: Member;

/** Moonguard, whose way to the database can fail. */
beforeEach(async () => {
  database = await openTestDatabase('postgres');
  onTestFinished(() => database.close());
  proxy = await startProxy(database.url);
  onTestFinished(() => proxy.stop());
  receiver = await startRecordingReceiver();
  member = await startMember({
    databaseUrl: proxy.url,
    statementTimeoutMs: 1_000,
    idleInTransactionTimeoutMs: 1_000,
    silenceTimeoutMs: 2_000,
  });
  await member.moonguard.webhooks.createWebhook({ url: receiver.url, events: ['*'], environment: 'sandbox' });
});

test('behaviour 22: while nobody can listen, deliveries are found by asking; listening comes back by itself', async () => {
  proxy.turnAwayNew();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query like 'listen%'`.execute(database.db);
  await untilReported(member, 'database.listen_lost');
  const channels = reported(member, 'database.listen_lost');

  const answer = await receiverOn(database).handle(webhookRequest('http://localhost', buyEvent({})), 'sandbox');
  expect(answer.status).toBe(200);
  await receiver.until(
    () => receiver.arrivals.length > 0,
    () => 'not delivered',
  );
  expect(reported(member, 'database.listen_restored')).toBe(0);

  proxy.restore();
  await untilReported(member, 'database.listen_restored', channels);
});

test('a database that is very slow: 503 in time, and everything goes on by itself afterwards', async () => {
  const load = startLoad([member]);
  await further(load.stream, 50);
  const slow = new Client(database.url);
  await slow.connect();
  onTestFinished(() => slow.end());
  await slow.query('begin; lock table moonpay_webhook_events in access exclusive mode');
  await furtherTurnedDown(load.stream, 20);
  await slow.query('commit');

  await further(load.stream, 50);
  await expectNothingLost(load);
});

test('a network that drops packets and tells nobody: 503 in time, and everything goes on by itself afterwards', async () => {
  const load = startLoad([member]);
  await further(load.stream, 50);
  proxy.silence();
  await furtherTurnedDown(load.stream, 20);
  proxy.restore();

  await further(load.stream, 50);
  await expectNothingLost(load);
});

async function expectNothingLost({ stream, end }: Load): Promise<void> {
  const events = await end();
  expect(stream.turnedDown.filter(({ status }) => status !== 503)).toEqual([]);
  expect(stream.slowestAnswerMs).toBeLessThan(MOONPAY_WAITS_MS);
  const bodies = acknowledgedBodies(stream);
  expect(bodies.size).toBe(events);
  await receiver.untilSeen(bodies.keys());
  expect(await member.moonguard.inventory()).toMatchObject({ events, deliveries: events });
}
