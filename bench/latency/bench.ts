import type { BenchArguments } from '../arguments.ts';
import { startReceiver } from '../receiver.ts';
import type { Bench, Variant } from '../rounds.ts';
import { sendOnly } from './limit.ts';
import { moonguard } from './moonguard.ts';
import { peers } from './peers.ts';
import type { LatencyVariant } from './scenario.ts';

const EVENTS_PER_SECOND = 200;

/** Milliseconds from an event's being handed over to its arrival at the endpoint. */
export function latencyBench({ n, database }: Pick<BenchArguments, 'n' | 'database'>): Bench {
  const { variants, leftOut } = peers(database);
  return {
    unit: 'ms',
    limit: sendOnly.name,
    variants: [moonguard, sendOnly, ...variants].map((variant) => inScenario(variant, n)),
    leftOut,
  };
}

function inScenario({ name, open }: LatencyVariant, events: number): Variant {
  return {
    name,
    open: async (database) => {
      const receiver = await startReceiver();
      const scenario = { events, eventsPerSecond: EVENTS_PER_SECOND, receiver, database };
      const measure = await open(scenario);
      return (n) => measure({ ...scenario, events: n });
    },
  };
}
