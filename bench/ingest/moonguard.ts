import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import type { StoredEvent } from '../../src/receive/store/storeEvents.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct } from '../product.ts';
import type { Measurement, Variant } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import { checkStored, removeEvents } from './rows.ts';
import type { IngestScenario } from './scenario.ts';

/** The server: verified, parsed, stored with its deliveries in one transaction, answered after the commit. */
export function moonguard(scenario: IngestScenario): Variant {
  const { database, events } = scenario;
  return {
    name: 'moonguard',
    measure: async () => {
      await removeEvents(database.db);
      const measurement = await postTo(database, scenario);
      await checkStored(database.db, events);
      return measurement;
    },
  };
}

/** The same server, the same verifying and parsing; what would be stored is dropped. */
export function moonguardWithoutDatabase(scenario: IngestScenario): Variant {
  return { name: 'moonguard-no-database', measure: () => postTo(withoutTransactions(scenario.database), scenario) };
}

async function postTo(
  database: Database,
  { events, load, database: { server } }: IngestScenario,
): Promise<Measurement> {
  const product = await openProduct({ database });
  const http = await startServer({ webhooks: product.webhooks } as never, { host: '127.0.0.1', port: 0 });
  try {
    await load.prepare(`${http.url}/webhooks/moonpay/sandbox`, events);
    const processorTime = startProcessorClock(server?.databaseName);
    const { durationMs, times } = await load.post();
    return {
      figure: (events / durationMs) * 1000,
      times: { p50: percentile(times, 0.5), p95: percentile(times, 0.95), p99: percentile(times, 0.99) },
      processorTime: processorTime(events),
    };
  } finally {
    await http.close();
    await product.stop();
  }
}

const stored: StoredEvent = {
  id: '00000000-0000-7000-8000-000000000000',
  duplicate: false,
  bodyDiffers: false,
  deliveries: 3,
  late: false,
  projectionFailure: undefined,
};

/** A transaction does nothing, and comes back with a result for as many events as a batch can hold. */
function withoutTransactions(database: Database): Database {
  const results = Array.from({ length: 1000 }, () => stored);
  return { ...database, transaction: async () => results as never };
}
