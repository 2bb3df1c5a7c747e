import { randomUUID } from 'node:crypto';
import { claimDueDeliveries } from '../../src/deliver/store/claimDueDeliveries.ts';
import type { BenchDatabase } from '../database.ts';
import { addDeliveries } from '../delivery/rows.ts';
import { startProcessorClock } from '../processorTime.ts';
import { subscribe } from '../product.ts';
import type { Bench, Measurement, Variant } from '../rounds.ts';
import { median } from '../statistics.ts';
import { addSettledDeliveries, removePendingDeliveries } from './rows.ts';

const CLAIMS = 20;
/** Deliveries in each. */
const LIMIT = 500;

/** Milliseconds of a claim, in a database with so many settled deliveries and in one with none. */
export async function historyBench(database: BenchDatabase, settledDeliveries: number): Promise<Bench> {
  const other = await database.openAnother();
  return {
    unit: 'ms',
    limit: 'empty',
    variants: [claimBeside('history', other, settledDeliveries), claimBeside('empty', database, 0)],
    close: () => other.close(),
  };
}

function claimBeside(name: string, database: BenchDatabase, settledDeliveries: number): Variant {
  let endpointIds: readonly string[] = [];
  return {
    name,
    open: async () => {
      endpointIds = await subscribe(database, ['https://receiver.example/']);
      await addSettledDeliveries(database.db, settledDeliveries, endpointIds[0] ?? '');
    },
    measure: async () => {
      await addDeliveries(database.db, CLAIMS * LIMIT, endpointIds);
      const measurement = await measureClaims(database);
      await removePendingDeliveries(database.db);
      return measurement;
    },
  };
}

/** Claims until all is claimed. */
async function measureClaims(database: BenchDatabase): Promise<Measurement> {
  const times: number[] = [];
  const processorTime = startProcessorClock(database.server?.databaseName);
  for (let claim = 0; claim < CLAIMS; claim++) {
    const startedAt = performance.now();
    const lanes = await claimDueDeliveries(database.db, {
      limit: LIMIT,
      defaultRoom: LIMIT,
      rooms: {},
      leaseMs: 60_000,
      leaseToken: randomUUID(),
      probeMs: 30_000,
    });
    times.push(performance.now() - startedAt);
    const claimed = lanes.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    if (claimed !== LIMIT) throw new Error(`A claim of ${LIMIT} deliveries got ${claimed}.`);
  }
  return { figure: median(times), processorTime: processorTime(CLAIMS * LIMIT) };
}
