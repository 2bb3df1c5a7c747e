import type { BenchDatabase } from '../database.ts';
import { startReceiver } from '../receiver.ts';
import type { Bench } from '../rounds.ts';
import { sendOnly } from './limit.ts';
import { moonguard } from './moonguard.ts';
import { peers } from './peers.ts';

const EVENTS_PER_SECOND = 200;

/** Milliseconds from an event's being handed over to its arrival at the endpoint. */
export async function latencyBench(database: BenchDatabase, events: number): Promise<Bench> {
  const receiver = await startReceiver();
  const scenario = { events, eventsPerSecond: EVENTS_PER_SECOND, receiver, database };
  const { variants, leftOut } = peers(scenario);
  return {
    unit: 'ms',
    limit: 'limit',
    variants: [moonguard(scenario), sendOnly(scenario), ...variants],
    leftOut,
    close: receiver.close,
  };
}
