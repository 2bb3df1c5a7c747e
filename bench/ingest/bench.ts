import type { BenchArguments } from '../arguments.ts';
import { startLoad } from '../load.ts';
import { subscribe, WEBHOOK_KEY } from '../product.ts';
import type { Bench, Variant } from '../rounds.ts';
import { fastifyPg } from './fastifyPg.ts';
import { moonguard, moonguardWithoutDatabase } from './moonguard.ts';
import { ENDPOINTS, type IngestVariant } from './scenario.ts';

const CONNECTIONS = 64;

/** Signed webhooks a second that the server verifies, stores with 3 deliveries, and answers. */
export function ingestBench({ database }: Pick<BenchArguments, 'database'>): Bench {
  // The peer connects by itself, which the embedded database does not allow.
  const peers = database === 'embedded' ? [] : [fastifyPg];
  return {
    unit: 'events/s',
    limit: moonguardWithoutDatabase.name,
    variants: [moonguard, moonguardWithoutDatabase, ...peers].map(inScenario),
  };
}

function inScenario({ name, measure }: IngestVariant): Variant {
  return {
    name,
    open: async ({ open, server }) => {
      const database = await open();
      const urls = Array.from({ length: ENDPOINTS }, (_, place) => `https://receiver.example/${place}`);
      await subscribe(database, urls);
      const load = startLoad({ connections: CONNECTIONS, webhookKey: WEBHOOK_KEY });
      return (n) => measure({ events: n, load, database, server });
    },
  };
}
