import { randomInt } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { listen } from '../../src/http/listen.ts';
import { createMoonguard, type Moonguard, type MoonguardOptions } from '../../src/moonguard.ts';
import { providerKeySecret } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { ProviderEvent } from '../../src/simulate/providerEvent.ts';
import { playScenario } from '../../src/simulate/scenario.ts';
import { sendEvent } from '../../src/simulate/sendEvent.ts';
import { directoryWithDatabase, type RunningCli, startCli, temporaryDirectory } from '../support/cli.ts';
import { observed, withDeadline } from '../support/signals.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

const KILLS = 3;
const SENDERS = 8;
const webhookKey = 'wk_test_0123456789abcdef';
const masterKey = Buffer.alloc(32, 7).toString('base64');
const LEASE_MS = 1_000;

/** Stories in which the last event is one that a policy acts on, or none is. */
const stories = ['buy', 'identity_rejected', 'sell', 'buy_undelivered'] as const;
const STORIES_OF_EACH = 25;

test.each<Database['kind']>(['embedded', 'postgres'])(
  'killed with -9 under a stream of events and started again, the server loses none and does nothing twice (%s)',
  { timeout: 180_000 },
  async (kind) => {
    const installation = await openInstallation(kind);
    const receiver = await startRecordingReceiver();
    await withMoonguard(installation.options, ({ webhooks }) =>
      webhooks.createWebhook({
        url: receiver.url,
        events: ['*'],
        environment: 'sandbox',
        retryPolicy: { initial_delay_ms: 100 },
        deliverySettings: { timeout_ms: 1_000 },
      }),
    );

    const plays = Array.from({ length: STORIES_OF_EACH }, () =>
      stories.map((name) => playScenario(name, systemRuntime)),
    ).flat();
    const stream: EventStream = { waiting: plays.flat(), acknowledged: new Map() };
    const total = stream.waiting.length;
    const moments: number[] = [];
    for (let kills = 0; kills < KILLS; kills++) {
      const moment = randomInt(20, 70);
      moments.push(moment);
      const server = installation.start();
      await send(stream, server, { killAfter: moment });
      expect((await server.untilExit()).code).toBeNull();
    }
    const server = installation.start();
    await send(stream, server, {});

    const message = `killed after ${moments.join(', ')} acknowledged events`;
    const eventIds = [...stream.acknowledged.values()];
    expect(new Set(eventIds).size, message).toBe(total);
    await receiver.untilSeen(eventIds.map((id) => `evt_${id}`));
    server.kill('SIGTERM');
    expect(await server.untilExit()).toMatchObject({ code: 0 });

    await withMoonguard(installation.options, async (moonguard, finished) => {
      await finished();
      expect(await moonguard.inventory(), message).toMatchObject({ events: total, deliveries: total });
      const { heldDeliveries, exhaustedDeliveries } = await moonguard.webhooks.getStats();
      expect({ heldDeliveries, exhaustedDeliveries }, message).toEqual({ heldDeliveries: 0, exhaustedDeliveries: 0 });
      await expectOneDecisionEach(moonguard, plays, stream.acknowledged, message);
    });
  },
);

/** Two of the four stories end in one alert and one row of the policy log; nothing else is in either. */
async function expectOneDecisionEach(
  { compliance, policies, inventory }: Pick<Moonguard, 'compliance' | 'policies' | 'inventory'>,
  plays: readonly (readonly ProviderEvent[])[],
  acknowledged: ReadonlyMap<ProviderEvent, string>,
  message: string,
): Promise<void> {
  const hits = plays
    .flatMap((events) => events.slice(-1))
    .filter(({ data, type }) => data['result'] === 'rejected' || type === 'transaction_failed');
  expect(hits).toHaveLength(2 * STORIES_OF_EACH);
  for (const hit of hits) {
    const { items } = await policies.listLogs({ correlationId: `evt_${acknowledged.get(hit)}` });
    expect(
      items.map(({ actionType }) => actionType),
      message,
    ).toEqual(['rule_triggered']);
  }
  const { items: alerts } = await compliance.listAlerts({ limit: 200 });
  expect(
    alerts.map(({ occurrenceCount }) => occurrenceCount),
    message,
  ).toEqual(hits.map(() => 1));
  expect((await inventory()).policyLogRows, message).toBe(hits.length);
}

interface EventStream {
  /** Not acknowledged yet: to be sent, perhaps again, as MoonPay would. */
  readonly waiting: ProviderEvent[];
  /** With the id that the server gave. */
  readonly acknowledged: Map<ProviderEvent, string>;
}

/** Sends until nothing waits, or the server was killed after so many acknowledged events. */
async function send(stream: EventStream, server: RunningCli, { killAfter = Number.POSITIVE_INFINITY }): Promise<void> {
  const [, serverUrl = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox$/);
  const { key } = providerKeySecret('test', webhookKey);
  const target = { serverUrl, environment: 'sandbox', key, runtime: systemRuntime } as const;
  const progress = { answers: 0, killed: false };
  const sendOne = async (event: ProviderEvent): Promise<void> => {
    const answer = await sendEvent(event, target).catch(() => undefined);
    // Without an answer, or with a 5xx, MoonPay sends it again.
    if (answer === undefined || answer.status >= 500) {
      stream.waiting.push(event);
      return;
    }
    const { eventId } = answer;
    if (eventId === null) throw new Error(`the server refused an event: ${answer.error}`);
    stream.acknowledged.set(event, eventId);
    progress.answers += 1;
    if (progress.answers === killAfter) {
      progress.killed = true;
      server.kill('SIGKILL');
    }
  };
  const sendAll = async (): Promise<void> => {
    while (!progress.killed) {
      const event = stream.waiting.shift();
      if (event === undefined) return;
      await sendOne(event);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sendAll));
}

interface Installation {
  readonly options: MoonguardOptions;
  readonly start: () => RunningCli;
}

async function openInstallation(kind: Database['kind']): Promise<Installation> {
  const env = {
    MOONGUARD_MASTER_KEY: masterKey,
    MOONPAY_WEBHOOK_KEYS_SANDBOX: webhookKey,
    MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: 'true',
    MOONGUARD_LEASE_MS: String(LEASE_MS),
  };
  const common = { masterKey, allowLoopbackDestinations: true, leaseMs: LEASE_MS };
  const args = ['start', '--port', '0'];
  if (kind === 'embedded') {
    const directory = directoryWithDatabase();
    return {
      options: { ...common, dataDirectory: join(directory, 'data') },
      start: () => startCli(args, { directory, env }),
    };
  }
  const database = await openTestDatabase('postgres');
  onTestFinished(() => database.close());
  return {
    options: { ...common, databaseUrl: database.url, dataDirectory: temporaryDirectory() },
    start: () => startCli(args, { env: { ...env, DATABASE_URL: database.url } }),
  };
}

/** Gives besides Moonguard a way to wait until everything is delivered and decided. */
async function withMoonguard(
  options: MoonguardOptions,
  work: (moonguard: Moonguard, finished: () => Promise<void>) => Promise<unknown>,
): Promise<void> {
  const { observe, next } = observed();
  const moonguard = await createMoonguard({ ...options, observe });
  const finished = async (): Promise<void> => {
    await moonguard.start();
    for (;;) {
      const { undecidedEvents } = await moonguard.inventory();
      const { pendingDeliveries } = await moonguard.webhooks.getStats();
      if (undecidedEvents + pendingDeliveries === 0) return;
      await next(({ type }) => type === 'event.decided' || type === 'delivery.delivered');
    }
  };
  try {
    await work(moonguard, finished);
  } finally {
    await moonguard.stop();
  }
}

interface RecordingReceiver {
  readonly url: string;
  readonly untilSeen: (ids: readonly string[]) => Promise<void>;
}

/** Takes every delivery and remembers its `webhook-id`. */
async function startRecordingReceiver(): Promise<RecordingReceiver> {
  const seen = new Set<unknown>();
  let onSeen = (): void => {};
  const server = createServer((request, response) => {
    seen.add(request.headers['webhook-id']);
    request.resume().once('end', () => response.end());
    onSeen();
  });
  const url = await listen(server, 0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url,
    untilSeen: (ids) => {
      const missing = (): string[] => ids.filter((id) => !seen.has(id));
      const all = new Promise<void>((resolve) => {
        onSeen = () => {
          if (missing().length === 0) resolve();
        };
        onSeen();
      });
      return withDeadline(all, () => `never delivered: ${missing().join(', ')}`, 30_000);
    },
  };
}
