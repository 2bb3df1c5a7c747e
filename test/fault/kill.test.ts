import { randomInt } from 'node:crypto';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { Moonguard } from '../../src/moonguard.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { ProviderEvent } from '../../src/simulate/providerEvent.ts';
import { playScenario } from '../../src/simulate/scenario.ts';
import type { RunningCli } from '../support/cli.ts';
import { acknowledgedBodies, createEventStream, type EventStream } from './eventStream.ts';
import { type Installation, openInstallation, urlOf, webhookIds, withMoonguard } from './installation.ts';
import { type Arrival, byId, type RecordingReceiver, startRecordingReceiver } from './recordingReceiver.ts';

const LEASE_MS = 2_000;
/** More than a busy machine takes to answer, so that a kill is the only failure. */
const TIMEOUT_MS = 3_000;

/** Stories in which the last event is one that a policy acts on, or none is. */
const stories = ['buy', 'identity_rejected', 'sell', 'buy_undelivered'] as const;

test.each<[Database['kind'], number, number]>([
  // A life on the embedded database takes longest.
  ['embedded', 1, 10],
  ['postgres', 2, 20],
])(
  'behaviour 21: again and again everything is killed with -9 under load: no acknowledged event is lost, nothing is done twice but what was in flight (%s, servers: %i, kills: %i)',
  { timeout: 600_000 },
  async (kind, serverCount, kills) => {
    const installation = await openInstallation(kind, { leaseMs: LEASE_MS });
    const trap = createTrap();
    const receiver = await startRecordingReceiver((response) => {
      if (!trap.count('arrival')) response.end();
    });
    await withMoonguard(installation.options, ({ webhooks }) =>
      webhooks.createWebhook({
        url: receiver.url,
        events: ['*'],
        environment: 'sandbox',
        deliverySettings: { timeout_ms: TIMEOUT_MS },
      }),
    );
    const told: ProviderEvent[][] = [];
    const moments = Array.from({ length: kills }, randomMoment);
    const lives: Life[] = [];
    const stream = createEventStream(
      tell(told, () => lives.length === kills),
      () => trap.count('acknowledgement'),
    );
    const siege = { installation, serverCount, receiver, stream, trap };
    for (const moment of moments) lives.push(await liveUntil(moment, siege));
    lives.push(await liveOn(siege));

    const message = `killed at ${moments.map(({ what, number }) => `${what} ${number}`).join(', ')}`;
    await withMoonguard(installation.options, async (moonguard, finished) => {
      await finished();
      const total = told.flat().length;
      expect(new Set(stream.acknowledged.values()).size, message).toBe(total);
      expect(await moonguard.inventory(), message).toMatchObject({ events: total, deliveries: total });
      const { heldDeliveries, exhaustedDeliveries } = await moonguard.webhooks.getStats();
      expect({ heldDeliveries, exhaustedDeliveries }, message).toEqual({ heldDeliveries: 0, exhaustedDeliveries: 0 });
      await expectOneDecisionEach(moonguard, told, stream.acknowledged, message);
      expectOnlyWhatWasInFlightTwice(receiver.arrivals, lives, await webhookIds(moonguard), message);
    });
    const bodies = acknowledgedBodies(stream);
    const changed = receiver.arrivals.filter(({ id, body }) => bodies.get(id)?.equals(body) !== true);
    expect(changed).toEqual([]);
    const duplicates = receiver.arrivals.length - byId(receiver.arrivals).size;
    expect(duplicates, 'each kill at an arrival makes one').toBeGreaterThanOrEqual(kills / 2);
  },
);

/** When to kill: once so many events are acknowledged, or in the middle of a request to the receiver. */
interface Moment {
  readonly what: 'acknowledgement' | 'arrival';
  readonly number: number;
}

function randomMoment(_: unknown, place: number): Moment {
  return { what: place % 2 === 0 ? 'acknowledgement' : 'arrival', number: randomInt(1, 40) };
}

interface Trap {
  /** Counts from 1 again. */
  readonly set: (moment: Moment, onSprung: () => void) => void;
  /** Whether this one springs it. */
  readonly count: (what: Moment['what']) => boolean;
}

function createTrap(): Trap {
  let counted = { acknowledgement: 0, arrival: 0 };
  let armed: { readonly moment: Moment; readonly onSprung: () => void } | undefined;
  return {
    set: (moment, onSprung) => {
      counted = { acknowledgement: 0, arrival: 0 };
      armed = { moment, onSprung };
    },
    count: (what) => {
      counted[what] += 1;
      if (armed?.moment.what !== what || armed.moment.number !== counted[what]) return false;
      armed.onSprung();
      armed = undefined;
      return true;
    },
  };
}

/** One story after the other, until it is enough and the last of them is at its end. */
function* tell(told: ProviderEvent[][], isEnough: () => boolean): Generator<ProviderEvent> {
  while (!isEnough()) {
    for (const name of stories) {
      const events = playScenario(name, systemRuntime);
      told.push(events);
      yield* events;
    }
  }
}

interface Siege {
  readonly installation: Installation;
  readonly serverCount: number;
  readonly receiver: RecordingReceiver;
  readonly stream: EventStream;
  readonly trap: Trap;
}

/** From the start of all servers to their end. */
interface Life {
  /** Place of its first request among the receiver's arrivals. */
  readonly firstArrival: number;
  /** What the servers wrote to standard error. */
  readonly logs: readonly string[];
}

async function liveUntil(moment: Moment, { installation, serverCount, receiver, stream, trap }: Siege): Promise<Life> {
  const servers = await startServers(installation, serverCount);
  const firstArrival = receiver.arrivals.length;
  let killed = false;
  trap.set(moment, () => {
    killed = true;
    for (const server of servers) server.kill('SIGKILL');
  });
  try {
    const urls = await Promise.all(servers.map(urlOf));
    await stream.run(urls, () => killed);
  } catch (error) {
    // Deliveries that an earlier life left can spring the trap before the servers say where they are.
    if (!killed) throw error;
  }
  const exits = await Promise.all(servers.map((server) => server.untilExit()));
  expect(exits.map(({ code }) => code)).toEqual(servers.map(() => null));
  return { firstArrival, logs: exits.map(({ stderr }) => stderr) };
}

/** The last life: nobody is killed, and everything that is left is sent and delivered. */
async function liveOn({ installation, serverCount, receiver, stream }: Siege): Promise<Life> {
  const servers = await startServers(installation, serverCount);
  const firstArrival = receiver.arrivals.length;
  await stream.run(await Promise.all(servers.map(urlOf)));
  await receiver.untilSeen(acknowledgedBodies(stream).keys());
  for (const server of servers) server.kill('SIGTERM');
  const exits = await Promise.all(servers.map((server) => server.untilExit()));
  expect(exits.map(({ code }) => code)).toEqual(servers.map(() => 0));
  return { firstArrival, logs: exits.map(({ stderr }) => stderr) };
}

/**
 * Resolves when the first of them has begun, and has not yet connected to the database: what a killed server sent has
 * come by then.
 */
async function startServers(installation: Installation, count: number): Promise<RunningCli[]> {
  const servers = Array.from({ length: count }, () => installation.start());
  await Promise.any(servers.map((server) => server.untilLine(/is starting/)));
  return servers;
}

/** In one life nothing comes twice, and what a life reported as delivered never comes again. */
function expectOnlyWhatWasInFlightTwice(
  arrivals: readonly Arrival[],
  lives: readonly Life[],
  idOfDelivery: ReadonlyMap<string, string>,
  message: string,
): void {
  const delivered = new Set<string | undefined>();
  for (const [place, { firstArrival, logs }] of lives.entries()) {
    const ids = arrivals.slice(firstArrival, lives[place + 1]?.firstArrival).map(({ id }) => id);
    expect(ids, `in life ${place + 1}, ${message}`).toHaveLength(new Set(ids).size);
    const again = ids.filter((id) => delivered.has(id));
    expect(again, `delivered before life ${place + 1}, ${message}`).toEqual([]);
    for (const deliveryId of logs.flatMap(reportedAsDelivered)) delivered.add(idOfDelivery.get(deliveryId));
  }
}

/** Ids of deliveries, from the log of a server. */
function reportedAsDelivered(log: string): string[] {
  return Array.from(log.matchAll(/"deliveryId":"([^"]+)".*"msg":"delivery\.delivered"/g), ([, id = '']) => id);
}

/** Two of the four stories end in one alert, and every event is decided once: what no policy looks at leaves no row of the log. */
async function expectOneDecisionEach(
  { compliance, database, inventory }: Pick<Moonguard, 'compliance' | 'database' | 'inventory'>,
  told: readonly (readonly ProviderEvent[])[],
  acknowledged: ReadonlyMap<ProviderEvent, string>,
  message: string,
): Promise<void> {
  const hits = told.flatMap((events) => events.slice(-1)).filter(isHit);
  expect(hits).toHaveLength(told.length / 2);
  expect(await inventory(), message).toMatchObject({ alerts: hits.length });
  const { rows } = await sql<{ id: string; isLate: boolean; actions: string[] }>`
    select e.id, e.is_late as "isLate", array(
      select l.action_type from moonpay_policy_logs l where l.correlation_id = 'evt_' || e.id order by l.action_type) as actions
    from moonpay_webhook_events e`.execute(database.db);
  const decided = new Map(rows.map((row) => [row.id, row]));
  for (const event of told.flat()) {
    const { isLate, actions } = decided.get(acknowledged.get(event) ?? '') ?? {};
    expect(actions, message).toEqual(isLate ? [] : actionsOf(event));
  }
  const { items: alerts } = await compliance.listAlerts({ limit: 200 });
  expect(
    alerts.filter(({ occurrenceCount }) => occurrenceCount !== 1),
    message,
  ).toEqual([]);
}

function isHit({ data, type }: ProviderEvent): boolean {
  return data['result'] === 'rejected' || type === 'transaction_failed';
}

/** What the default policies log of it: the decision, and the rule that hit. */
function actionsOf(event: ProviderEvent): string[] {
  if (isHit(event)) return ['review_initiated', 'rule_triggered'];
  return event.type === 'identity_check_updated' ? ['rule_passed'] : [];
}
