import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { claimDueDeliveries } from '../../src/deliver/store/claimDueDeliveries.ts';
import { type RequestedDelivery, settleDeliveries } from '../../src/deliver/store/settleDeliveries.ts';
import { MoonguardError } from '../../src/errors.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { WebhookHandler } from '../../src/webhooks/WebhookHandler.ts';
import { buyEvent, webhookRequest } from '../support/moonpay.ts';
import { receiverOn } from '../support/receivers.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { openWebhooks } from '../support/webhooks.ts';
import * as model from './endpointModel.ts';

/** What can happen to an endpoint and its deliveries. Numbers choose among what there is at that time. */
type Step =
  | { readonly do: 'store an event' }
  | { readonly do: 'claim'; readonly limit: number }
  | {
      readonly do: 'settle';
      readonly results: readonly (readonly [which: number, outcome: model.ResultModel['outcome']])[];
      readonly isPastWindow: boolean;
    }
  | { readonly do: 'leases end' }
  | { readonly do: 'switch off'; readonly reason: string | undefined }
  | { readonly do: 'resume' }
  | { readonly do: 'resend'; readonly which: number }
  | { readonly do: 'delete' };

const anyOutcome = fc.oneof(
  { weight: 3, arbitrary: fc.constant('delivered' as const) },
  { weight: 7, arbitrary: fc.constant('failed' as const) },
  { weight: 1, arbitrary: fc.constant('last attempt failed' as const) },
  { weight: 1, arbitrary: fc.constant('gone' as const) },
);
const anyStep = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 6, arbitrary: fc.constant({ do: 'store an event' }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('claim'), limit: fc.integer({ min: 1, max: 5 }) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('settle'),
      results: fc.array(fc.tuple(fc.nat(), anyOutcome), { minLength: 1, maxLength: 5 }),
      isPastWindow: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'leases end' }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('switch off'), reason: fc.constantFrom('at rest', undefined) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'resume' }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resend'), which: fc.nat() }) },
);
const anyWalk = fc
  .tuple(fc.array(anyStep, { maxLength: 60, size: 'max' }), fc.array(anyStep, { maxLength: 4 }))
  .map(([before, after]): Step[] => [...before, { do: 'delete' }, ...after]);

const LEASE_MS = 3_600_000;
const PROBE_MS = 5_000;

forEachDatabase('an endpoint in any state', (open) => {
  let database: TestDatabase;
  let webhooks: WebhookHandler;
  beforeAll(async () => {
    database = await open();
    ({ webhooks } = openWebhooks(database, { allowLoopbackDestinations: true }));
  });
  afterAll(() => database.close());

  test('does what the model does, whatever workers and people do', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anyWalk, async (walk) => {
        const world = await createWorld(database, webhooks);
        for (const [place, next] of walk.entries()) {
          await take(world, next);
          expect(await stateOf(world), `after step ${place + 1}`).toEqual(modelState(world.endpoint));
        }
      }),
      { numRuns: 40 },
    );
  });
});

/** The product and the model of it. */
interface World {
  readonly database: TestDatabase;
  readonly webhooks: WebhookHandler;
  readonly endpointId: string;
  readonly endpoint: model.EndpointModel;
  /** What workers have in hand, also when their lease has passed to another. */
  readonly inHand: InHand[];
  /** The workers' clock is ahead of the database's, so that what is due later is due now. */
  aheadMs: number;
  /** When the next request begins. */
  startedAtMs: number;
}

interface InHand {
  readonly deliveryId: string;
  readonly lease: string;
  readonly isResend: boolean;
}

async function createWorld(database: TestDatabase, webhooks: WebhookHandler): Promise<World> {
  await database.runScript('delete from moonpay_webhook_events; delete from moonpay_webhook_config;');
  const create = (path: string, event: string) =>
    webhooks.createWebhook({
      url: `http://127.0.0.1:1/${path}`,
      environment: 'sandbox',
      events: [event],
      deliverySettings: { timeout_ms: 100 },
    });
  const { id: endpointId } = await create('model', '*');
  // Hears of the other one.
  await create('operations', 'webhook.*');
  const startedAtMs = systemRuntime.now();
  return { database, webhooks, endpointId, endpoint: model.newEndpoint(), inHand: [], aheadMs: 0, startedAtMs };
}

async function take(world: World, next: Step): Promise<void> {
  const { endpoint, endpointId, webhooks } = world;
  switch (next.do) {
    case 'store an event':
      return storeEvent(world);
    case 'claim':
      return claim(world, next.limit);
    case 'settle':
      return settle(world, next);
    case 'leases end':
      world.aheadMs += 2 * LEASE_MS;
      return model.endLeases(endpoint);
    case 'switch off':
      return exceptDeleted(world, () => {
        model.switchOff(endpoint, next.reason ?? null);
        return webhooks.suspendWebhook(endpointId, next.reason);
      });
    case 'resume':
      return exceptDeleted(world, () => {
        model.resume(endpoint);
        return webhooks.resumeWebhook(endpointId);
      });
    case 'delete':
      return exceptDeleted(world, () => {
        model.remove(endpoint);
        return webhooks.deleteWebhook(endpointId);
      });
    case 'resend': {
      const ids = [...endpoint.deliveries.keys()];
      const id = ids[next.which % ids.length];
      if (id === undefined) return;
      const resent = webhooks.retryDelivery(id).then(
        () => 'retried',
        (error: unknown) => (error instanceof MoonguardError ? error.code : error),
      );
      expect(await resent).toBe(model.resend(endpoint, id) === 'retried' ? 'retried' : 'webhook_status_conflict');
      return;
    }
  }
}

/** Nobody changes an endpoint that was deleted. */
async function exceptDeleted({ endpoint, webhooks, endpointId }: World, change: () => Promise<unknown>): Promise<void> {
  if (endpoint.isDeleted) {
    await expect(webhooks.resumeWebhook(endpointId)).rejects.toMatchObject({ code: 'webhook_not_found' });
  } else await change();
}

async function storeEvent({ database, webhooks, endpoint, endpointId }: World): Promise<void> {
  const body = buyEvent({ id: systemRuntime.newId() });
  const response = await receiverOn(database).handle(webhookRequest('http://localhost', body), 'sandbox');
  expect(response.status).toBe(200);
  const { items } = await webhooks.listDeliveries({ webhookId: endpointId, limit: 200 });
  const made = items.filter(({ id }) => !endpoint.deliveries.has(id));
  expect(made).toHaveLength(endpoint.isDeleted ? 0 : 1);
  for (const { id } of made) model.storeEvent(endpoint, id);
}

async function claim(world: World, limit: number): Promise<void> {
  const { database, endpoint, endpointId, inHand } = world;
  world.aheadMs += 2 * PROBE_MS;
  const lease = systemRuntime.newId();
  const expected = model.claimable(endpoint, limit);
  const lanes = await claimDueDeliveries(database.db, {
    limit: 1_000,
    defaultRoom: 0,
    rooms: { [endpointId]: limit },
    leaseMs: LEASE_MS,
    leaseToken: lease,
    probeMs: PROBE_MS,
    now: new Date(systemRuntime.now() + world.aheadMs),
  });
  const claimed = lanes.flatMap(({ deliveries }) => deliveries);
  expect(claimed).toHaveLength(expected);
  for (const { id, isResend } of claimed) {
    const delivery = endpoint.deliveries.get(id);
    expect(delivery && model.isDue(delivery) && isResend === (delivery.resendFrom !== undefined)).toBe(true);
    inHand.push({ deliveryId: id, lease, isResend });
  }
  model.claim(
    endpoint,
    claimed.map(({ id }) => id),
    lease,
  );
}

async function settle(world: World, { results, isPastWindow }: Extract<Step, { do: 'settle' }>): Promise<void> {
  const { database, endpoint, endpointId, inHand } = world;
  const begun: model.ResultModel[] = [];
  const rows: RequestedDelivery[] = [];
  for (const [which, outcome] of results) {
    const [taken] = inHand.splice(which % Math.max(inHand.length, 1), 1);
    if (taken === undefined) break;
    const { deliveryId, lease, isResend } = taken;
    const startedAtMs = ++world.startedAtMs;
    const message = `answer ${startedAtMs}`;
    begun.push({ deliveryId, lease, outcome, message });
    rows.unshift({
      deliveryId,
      endpointId,
      leaseToken: lease,
      isOrdered: false,
      startedAtMs,
      durationMs: 1,
      outcome: outcomeOf(outcome, isResend),
      retryInMs: outcome === 'failed' ? 1 : undefined,
      responseStatus: undefined,
      responseBody: undefined,
      errorClass: outcome === 'delivered' ? undefined : 'timeout',
      errorMessage: outcome === 'delivered' ? undefined : message,
      disablesEndpoint: outcome === 'gone',
    });
  }
  const counted = begun.filter(({ deliveryId, lease }) => endpoint.deliveries.get(deliveryId)?.lease === lease);
  const disableAfterMs = isPastWindow ? 0 : 1_000 * LEASE_MS;
  const breaker = { failures: model.BREAKER_FAILURES, probeMs: PROBE_MS, disableAfterMs };
  const { lost } = await settleDeliveries(database.db, rows, breaker);
  const lostIds = begun
    .map(({ deliveryId }) => deliveryId)
    .filter((id) => !counted.some(({ deliveryId }) => deliveryId === id));
  expect(lost).toEqual(new Set(lostIds));
  model.settle(endpoint, begun, isPastWindow);
}

function outcomeOf(outcome: model.ResultModel['outcome'], isResend: boolean): RequestedDelivery['outcome'] {
  if (outcome === 'delivered') return 'delivered';
  if (isResend) return 'resend_failed';
  switch (outcome) {
    case 'failed':
      return 'retry';
    case 'last attempt failed':
      return 'exhausted';
    case 'gone':
      return 'held';
  }
}

type State = ReturnType<typeof modelState>;

function modelState(endpoint: model.EndpointModel) {
  const { status, reason, consecutiveFailures, operationalEvents, history } = endpoint;
  const deliveries = Array.from(endpoint.deliveries, ([id, { lease, resendFrom, ...delivery }]) => ({
    id,
    status: delivery.status,
    attempts: delivery.attempts,
    recorded: delivery.attempts,
    lease: lease ?? null,
    resendFrom: resendFrom ?? null,
  }));
  return {
    status,
    reason,
    consecutiveFailures,
    deliveries,
    operationalEvents,
    told: operationalEvents.length,
    history,
  };
}

async function stateOf({ database: { db }, endpointId }: World): Promise<State> {
  const { rows: endpoints } = await sql<Pick<State, 'status' | 'reason' | 'consecutiveFailures'>>`
    select status, status_reason as reason, consecutive_failures_count as "consecutiveFailures"
    from moonpay_webhook_config where id = ${endpointId}
  `.execute(db);
  const { rows: deliveries } = await sql<State['deliveries'][number]>`
    select id, status, attempts_count as attempts, lease_token as lease, resend_from as "resendFrom",
      (select count(*) from moonguard.delivery_attempts a where a.delivery_id = d.id) as recorded
    from moonguard.deliveries d where endpoint_id = ${endpointId} order by event_sequence
  `.execute(db);
  const { rows: raised } = await sql<{ event_name: string; told: number }>`
    select event_name, (select count(*) from moonguard.deliveries d where d.event_id = e.id) as told
    from moonpay_webhook_events e where event_name like 'webhook.%' order by sequence
  `.execute(db);
  const { rows: history } = await sql<State['history'][number]>`
    select to_status as to, reason from moonpay_webhook_status_changes where endpoint_id = ${endpointId} order by id
  `.execute(db);
  const [endpoint] = endpoints;
  if (endpoint === undefined) throw new Error('The endpoint is gone.');
  return {
    ...endpoint,
    deliveries,
    operationalEvents: raised.map(({ event_name }) => event_name),
    told: raised.reduce((sum, { told }) => sum + told, 0),
    history,
  };
}
