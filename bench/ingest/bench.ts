import type { BenchDatabase } from '../database.ts';
import { startLoad } from '../load.ts';
import { subscribe, WEBHOOK_KEY } from '../product.ts';
import type { Bench } from '../rounds.ts';
import { fastifyPg } from './fastifyPg.ts';
import { moonguard, moonguardWithoutDatabase } from './moonguard.ts';
import { ENDPOINTS } from './scenario.ts';

const CONNECTIONS = 64;

/** Signed webhooks a second that the server verifies, stores with 3 deliveries, and answers. */
export async function ingestBench(database: BenchDatabase, events: number): Promise<Bench> {
  const urls = Array.from({ length: ENDPOINTS }, (_, place) => `https://receiver.example/${place}`);
  await subscribe(database, urls);
  const load = startLoad({ connections: CONNECTIONS, webhookKey: WEBHOOK_KEY });
  const scenario = { events, load, database };
  const { server } = database;
  return {
    unit: 'events/s',
    limit: 'moonguard-no-database',
    // The peer connects by itself, which the embedded database does not allow.
    variants: [
      moonguard(scenario),
      moonguardWithoutDatabase(scenario),
      ...(server === undefined ? [] : [fastifyPg(scenario, server.url)]),
    ],
    close: load.close,
  };
}
