import { sql } from 'kysely';
import { Client } from 'pg';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { type CuttableProxy, startProxy } from '../support/cuttableProxy.ts';
import { buyEvent, webhookRequest } from '../support/moonpay.ts';
import { receiverOn } from '../support/receivers.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';
import { type Member, type MemberOptions, reported, startMember, untilReported } from './cluster.ts';
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

beforeEach(async () => {
  database = await openTestDatabase('postgres');
  onTestFinished(() => database.close());
  proxy = await startProxy(database.url);
  onTestFinished(() => proxy.stop());
  receiver = await startRecordingReceiver();
});

/** Moonguard, whose way to the database can fail. */
async function openMember(options: Partial<MemberOptions> = {}): Promise<Member> {
  const member = await startMember({ databaseUrl: proxy.url, leaseMs: 2_000, ...options });
  await member.moonguard.webhooks.createWebhook({
    url: receiver.url,
    events: ['*'],
    environment: 'sandbox',
    deliverySettings: { timeout_ms: 3_000 },
  });
  return member;
}

test('behaviour 22: while nobody can listen, deliveries are found by asking; listening comes back by itself', async () => {
  const member = await openMember();
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
  const member = await openMember();
  const load = startLoad([member]);
  await further(load.stream, 50);
  const slow = new Client(database.url);
  await slow.connect();
  onTestFinished(() => slow.end());
  await slow.query('begin; lock table moonpay_webhook_events in access exclusive mode');
  await furtherTurnedDown(load.stream, 8);
  await slow.query('commit');

  await further(load.stream, 50);
  await expectNothingLost(load, member);
});

test('a network that drops packets and tells nobody: 503 in time, and everything goes on by itself afterwards', async () => {
  // So that it need not take a minute until silence is noticed.
  const member = await openMember({
    statementTimeoutMs: 1_000,
    idleInTransactionTimeoutMs: 1_000,
    silenceTimeoutMs: 2_000,
  });
  const load = startLoad([member]);
  await further(load.stream, 50);
  proxy.silence();
  await furtherTurnedDown(load.stream, 8);
  proxy.restore();

  await further(load.stream, 50);
  await expectNothingLost(load, member);
  // The session that listens has yet to notice, as src/database/listen.test.ts shows: nothing here waits for that.
  proxy.cut();
  proxy.restore();
});

async function expectNothingLost({ stream, end }: Load, member: Member): Promise<void> {
  const events = await end();
  expect(stream.turnedDown.filter(({ status }) => status !== 503)).toEqual([]);
  expect(stream.slowestAnswerMs).toBeLessThan(MOONPAY_WAITS_MS);
  const bodies = acknowledgedBodies(stream);
  expect(bodies.size).toBe(events);
  await receiver.untilSeen(bodies.keys());
  expect(await member.moonguard.inventory()).toMatchObject({ events, deliveries: events });
}
