import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import { openProduct } from '../product.ts';
import type { Measurement } from '../rounds.ts';
import { measurePosts } from './measurePosts.ts';
import { checkStored, removeEvents } from './rows.ts';
import type { IngestScenario, IngestVariant } from './scenario.ts';
import { withoutStoring } from './withoutDatabase.ts';

/** The server: verified, parsed, stored with its deliveries in one transaction, answered after the commit. */
export const moonguard: IngestVariant = {
  name: 'moonguard',
  measure: async (round) => {
    const { database, events } = round;
    await removeEvents(database.db);
    const measurement = await measureServer(database, round);
    await checkStored(database.db, events);
    return measurement;
  },
};

/** The same server, up to what it sends to the database. */
export const moonguardWithoutDatabase: IngestVariant = {
  name: 'moonguard-no-database',
  measure: (round) => measureServer(withoutStoring(round.database), round),
};

async function measureServer(database: Database, round: IngestScenario): Promise<Measurement> {
  const product = await openProduct(database);
  const server = await startServer(product, { host: '127.0.0.1', port: 0 });
  try {
    return await measurePosts(round, `${server.url}/webhooks/moonpay/sandbox`);
  } finally {
    await server.close();
    await product.stop();
  }
}
