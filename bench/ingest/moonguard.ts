import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import { openProduct } from '../product.ts';
import type { Measurement, Variant } from '../rounds.ts';
import { measurePosts } from './measurePosts.ts';
import { checkStored, removeEvents } from './rows.ts';
import type { IngestScenario } from './scenario.ts';
import { withoutStoring } from './withoutDatabase.ts';

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

/** The same server, up to what it sends to the database. */
export function moonguardWithoutDatabase(scenario: IngestScenario): Variant {
  const database = withoutStoring(scenario.database);
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
