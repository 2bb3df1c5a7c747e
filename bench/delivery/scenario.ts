import type { BenchArguments } from '../arguments.ts';
import type { BenchDatabase } from '../database.ts';
import { type LocalReceiver, startReceiver } from '../receiver.ts';
import type { Behaviour } from '../receiverProcess.ts';
import type { Measurement } from '../rounds.ts';

export const scenarioNames = ['fast', 'slow', 'delayed', 'failing', 'endpoints'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export type DeliverySettings = Pick<BenchArguments, 'n' | 'scenario' | 'database'>;

/** A port of the receiver. */
export interface BenchEndpoint {
  readonly url: string;
  readonly place: number;
}

/** What a variant of the delivery bench is given, and must do: each event to each endpoint, once. */
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

/** One way to deliver. */
export interface DeliveryVariant {
  readonly name: string;
  /** Once. @param whole a round with as many events as there will be in any */
  readonly open: (whole: DeliveryScenario) => Promise<MeasureDeliveries>;
}

export type MeasureDeliveries = (round: DeliveryScenario) => Promise<Measurement>;

/** Jobs that a peer works on at a time, and posts that the limit has under way: as many as we have to one endpoint. */
export const CONCURRENCY = 128;

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

/** Starts the receiver. `n` is the number of deliveries to all healthy endpoints together, about. */
export async function openScenario(
  { n, scenario: name }: DeliverySettings,
  database: BenchDatabase,
): Promise<DeliveryScenario> {
  const behaviours = [...healthy[name], ...(unhealthy[name] ?? [])];
  const receiver = await startReceiver(behaviours);
  const endpoints = receiver.urls.map((url, place) => ({ url, place }));
  const healthyCount = healthy[name].length;
  // undici looks for a free one among them: 64 take a sixth less of the processor than 128, where they are enough.
  const connections = name === 'slow' || name === 'delayed' ? 128 : 64;
  return {
    name,
    events: Math.ceil(n / healthyCount),
    healthy: endpoints.slice(0, healthyCount),
    unhealthy: endpoints.slice(healthyCount),
    receiver,
    database,
    connections,
  };
}
