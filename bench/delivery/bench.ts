import type { BenchDatabase } from '../database.ts';
import { CONCURRENCY } from '../product.ts';
import { startReceiver } from '../receiver.ts';
import type { Bench } from '../rounds.ts';
import { sendOnly } from './limit.ts';
import { moonguard } from './moonguard.ts';

const CONNECTIONS = 64;

/** Deliveries a second to one endpoint that answers at once, everything on. */
export async function deliveryBench(database: BenchDatabase, deliveries: number): Promise<Bench> {
  const receiver = await startReceiver();
  const scenario = { deliveries, receiver, database, concurrency: CONCURRENCY, connections: CONNECTIONS };
  return {
    unit: 'deliveries/s',
    limit: 'limit',
    variants: [await moonguard(scenario), sendOnly(scenario)],
    close: receiver.close,
  };
}
