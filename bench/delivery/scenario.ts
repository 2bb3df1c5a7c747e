import type { BenchDatabase } from '../database.ts';
import { subscribe } from '../product.ts';
import { type LocalReceiver, startReceiver } from '../receiver.ts';
import type { Behaviour } from '../receiverProcess.ts';

export const scenarioNames = ['fast', 'slow', 'delayed', 'failing', 'endpoints'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** An endpoint of ours that stands for the receiver's port at `place`. */
export interface BenchEndpoint {
  readonly id: string;
  readonly url: string;
  readonly place: number;
}

/** What every variant of the delivery bench is given, and must do: each event to each endpoint, once. */
export interface DeliveryScenario {
  readonly name: ScenarioName;
  readonly events: number;
  /** Those that answer with 200 sooner or later: what is counted are the deliveries to them. */
  readonly healthy: readonly BenchEndpoint[];
  /** Those that get the same events and never say 200. */
  readonly unhealthy: readonly BenchEndpoint[];
  readonly receiver: LocalReceiver;
  readonly database: BenchDatabase;
  /** That the limit and the peers open to one endpoint. Ours opens what it opens. */
  readonly connections: number;
}

/** Jobs that a peer works on at a time, and posts that the limit has under way: as many as we have to one endpoint. */
export const CONCURRENCY = 128;

/** As pg-boss and BullMQ try again when nothing else is said. */
const AT_ONCE = { initial_delay_ms: 0, backoff_strategy: 'fixed', jitter: 0 } as const;
/** Longer than any answer takes, and not much longer than a round: its end waits for what hangs. */
const TIMEOUT_MS = 5_000;

const healthy: Readonly<Record<ScenarioName, readonly Behaviour[]>> = {
  fast: [{ kind: 'at-once' }],
  slow: [{ kind: 'slow', afterMs: 2_000, everyNth: 100 }],
  delayed: [{ kind: 'slow', afterMs: 50, everyNth: 1 }],
  failing: [{ kind: 'failing', everyNth: 10 }],
  endpoints: Array.from({ length: 89 }, () => ({ kind: 'at-once' })),
};

const unhealthy: Readonly<Partial<Record<ScenarioName, readonly Behaviour[]>>> = {
  endpoints: [...Array.from({ length: 10 }, (): Behaviour => ({ kind: 'broken' })), { kind: 'hanging' }],
};

/** Starts the receiver and subscribes its ports. @param deliveries to all healthy endpoints together, about */
export async function openScenario(
  name: ScenarioName,
  deliveries: number,
  database: BenchDatabase,
): Promise<DeliveryScenario> {
  const behaviours = [...healthy[name], ...(unhealthy[name] ?? [])];
  const receiver = await startReceiver(behaviours);
  const ids = await subscribe(database, receiver.urls, {
    retryPolicy: name === 'failing' ? AT_ONCE : {},
    deliverySettings: { timeout_ms: TIMEOUT_MS },
  });
  const endpoints = receiver.urls.map((url, place) => ({ id: ids[place] ?? '', url, place }));
  const healthyCount = healthy[name].length;
  // undici looks for a free one among them: 64 take a sixth less of the processor than 128, where they are enough.
  const connections = name === 'slow' || name === 'delayed' ? 128 : 64;
  return {
    name,
    events: Math.ceil(deliveries / healthyCount),
    healthy: endpoints.slice(0, healthyCount),
    unhealthy: endpoints.slice(healthyCount),
    receiver,
    database,
    connections,
  };
}
