import type { Bench, Variant } from '../rounds.ts';
import { sendOnly } from './limit.ts';
import { moonguard, moonguardHealthyAlone } from './moonguard.ts';
import { peers } from './peers.ts';
import { type DeliverySettings, type DeliveryVariant, openScenario } from './scenario.ts';

/** Deliveries a second to endpoints that behave as the scenario says, everything on. */
export function deliveryBench(settings: DeliverySettings): Bench {
  const ours = settings.scenario === 'endpoints' ? [moonguard, moonguardHealthyAlone] : [moonguard];
  const { variants, leftOut } = peers(settings);
  return {
    unit: 'deliveries/s',
    limit: sendOnly.name,
    variants: [...ours, sendOnly, ...variants].map((variant) => inScenario(variant, settings)),
    leftOut,
  };
}

function inScenario({ name, open }: DeliveryVariant, settings: DeliverySettings): Variant {
  return {
    name,
    open: async (database) => {
      const scenario = await openScenario(settings, database);
      const measure = await open(scenario);
      return (n) => measure({ ...scenario, events: Math.ceil(n / scenario.healthy.length) });
    },
  };
}
