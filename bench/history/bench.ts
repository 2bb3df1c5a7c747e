import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/database/database.ts';
import { claimDueDeliveries } from '../../src/deliver/store/claimDueDeliveries.ts';
import type { BenchArguments } from '../arguments.ts';
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
export function historyBench({ n }: Pick<BenchArguments, 'n'>): Bench {
  return { unit: 'ms', limit: 'empty', variants: [claimBeside('history', n), claimBeside('empty', 0)] };
}

/** The settled deliveries stay: every round makes the same claims beside them, the first as well. */
function claimBeside(name: string, settledDeliveries: number): Variant {
  return {
    name,
    open: async ({ open, server }) => {
      const database = await open();
      const endpointIds = await subscribe(database, ['https://receiver.example/']);
      await addSettledDeliveries(database.db, settledDeliveries, endpointIds[0] ?? '');
      return async () => {
        await addDeliveries(database.db, CLAIMS * LIMIT, endpointIds);
        const measurement = await measureClaims(database, server?.databaseName);
        await removePendingDeliveries(database.db);
        return measurement;
      };
    },
  };
}

/** Claims until all is claimed. */
async function measureClaims({ db }: Database, databaseName: string | undefined): Promise<Measurement> {
  const times: number[] = [];
  const processorTime = startProcessorClock(databaseName);
  for (let claim = 0; claim < CLAIMS; claim++) {
    const startedAt = performance.now();
    const lanes = await claimDueDeliveries(db, {
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
