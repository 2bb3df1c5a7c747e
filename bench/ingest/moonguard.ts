import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import type { StoredEvent } from '../../src/receive/store/storeEvents.ts';
import { openProduct } from '../product.ts';
import type { Measurement, Variant } from '../rounds.ts';
import { measurePosts } from './measurePosts.ts';
import { checkStored, removeEvents } from './rows.ts';
import type { IngestScenario } from './scenario.ts';

/** The server: verified, parsed, stored with its deliveries in one transaction, answered after the commit. */
export function moonguard(scenario: IngestScenario): Variant {
  const { database, events } = scenario;
  return {
    name: 'moonguard',
    measure: async () => {
      await removeEvents(database.db);
      const measurement = await measureServer(database, scenario);
      await checkStored(database.db, events);
      return measurement;
    },
  };
}

/** The same server, the same verifying and parsing; what would be stored is dropped. */
export function moonguardWithoutDatabase(scenario: IngestScenario): Variant {
  const database = { ...scenario.database, transaction: pretendToStore };
  return { name: 'moonguard-no-database', measure: () => measureServer(database, scenario) };
}

async function measureServer(database: Database, scenario: IngestScenario): Promise<Measurement> {
  const product = await openProduct(database);
  const server = await startServer(product, { host: '127.0.0.1', port: 0 });
  try {
    return await measurePosts(scenario, `${server.url}/webhooks/moonpay/sandbox`);
  } finally {
    await server.close();
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
/** More than there are in any batch. */
const results = Array.from({ length: 1_000 }, () => stored);

/** In the place of a transaction of `storeEvents`, the only one that a server that only receives runs. */
async function pretendToStore<T>(): Promise<T> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- T is what storeEvents returns
  return results as T;
}
