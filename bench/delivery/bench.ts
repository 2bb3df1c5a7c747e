import type { BenchDatabase } from '../database.ts';
import type { Bench } from '../rounds.ts';
import { sendOnly } from './limit.ts';
import { moonguard, moonguardHealthyAlone } from './moonguard.ts';
import { peers } from './peers.ts';
import { openScenario, type ScenarioName } from './scenario.ts';

/** Deliveries a second to endpoints that behave as the scenario says, everything on. */
export async function deliveryBench(
  database: BenchDatabase,
  { n, scenario: name }: { readonly n: number; readonly scenario: ScenarioName },
): Promise<Bench> {
  const scenario = await openScenario(name, n, database);
  const ours = name === 'endpoints' ? [moonguard(scenario), moonguardHealthyAlone(scenario)] : [moonguard(scenario)];
  const { variants, leftOut } = peers(scenario);
  return {
    unit: 'deliveries/s',
    limit: 'limit',
    variants: [...ours, sendOnly(scenario), ...variants],
    leftOut,
    close: scenario.receiver.close,
  };
}
