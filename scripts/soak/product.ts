/**
 * The product in a process of its own, wired as `moonguard start` wires it. It answers each message: with its address,
 * with what it takes up, or with nothing when it has ended.
 */
import { existsSync, readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sql } from 'kysely';
import { reply } from '../../bench/childProcess.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import { startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { systemRuntime } from '../../src/runtime.ts';

export interface ProductOptions {
  /** Without it the embedded database in `dataDirectory` is used. */
  readonly databaseUrl: string | undefined;
  readonly dataDirectory: string;
  readonly webhookKey: string;
  readonly receiverUrls: readonly string[];
  /** Whatever is older and done is removed at each measurement. */
  readonly keepMs: number;
}

export type ProductCall =
  | { readonly do: 'start'; readonly options: ProductOptions }
  | { readonly do: 'measure' }
  | { readonly do: 'stop' };

/** Bytes, and numbers of things. */
export interface Measurement extends TableSizes {
  readonly rss: number;
  /** After a garbage collection. */
  readonly heap: number;
  /** What keeps the event loop going, by kind: sockets, timers, … */
  readonly resources: Readonly<Record<string, number>>;
  /** Undefined where the system does not say. */
  readonly fileDescriptors: number | undefined;
}

/** Of events, deliveries and attempts: what retention keeps small. */
interface TableSizes {
  readonly tables: number;
  readonly indexes: number;
  readonly deadRows: number;
  readonly events: number;
  readonly pending: number;
}

export interface Started {
  readonly url: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

let running: { readonly moonguard: Moonguard; readonly keepMs: number; readonly stop: () => Promise<void> } | undefined;

async function start(options: ProductOptions): Promise<Started> {
  const { databaseUrl, dataDirectory, webhookKey, receiverUrls, keepMs } = options;
  const database = await connectDatabase(databaseUrl === undefined ? { dataDirectory } : { databaseUrl });
  const moonguard = await createMoonguard({
    database,
    dataDirectory,
    webhookKeys: { sandbox: [webhookKey] },
    allowLoopbackDestinations: true,
    // The least it knows; see `measure`.
    retention: { eventDays: 1 },
    // An endpoint that is ill comes back within the run.
    breaker: { probeMs: 2_000 },
  });
  for (const url of receiverUrls) {
    await moonguard.webhooks.createWebhook({
      url,
      environment: 'sandbox',
      events: ['*'],
      retryPolicy: { initial_delay_ms: 200, max_delay_ms: 2_000, max_attempts: 100 },
      deliverySettings: { timeout_ms: 2_000 },
    });
  }
  const server = await startServer(moonguard, { host: '127.0.0.1', port: 0 });
  await moonguard.start();
  const stop = async (): Promise<void> => {
    await server.close();
    await moonguard.stop();
    await database.close();
  };
  running = { moonguard, keepMs, stop };
  return { url: server.url };
}

async function measure({ moonguard, keepMs }: NonNullable<typeof running>): Promise<Measurement> {
  // With a clock that is a day ahead, a day is as short as `keepMs`.
  await moonguard.retention.run({ now: new Date(systemRuntime.now() + DAY_MS - keepMs) });
  const sizes = await tableSizes(moonguard.database);
  collectGarbage();
  const { rss, heapUsed: heap } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  return { rss, heap, resources, fileDescriptors: countFileDescriptors(), ...sizes };
}

async function tableSizes({ db }: Database): Promise<TableSizes> {
  const { rows } = await sql<TableSizes>`
    select sum(pg_table_size(relid))::float8 as tables, sum(pg_indexes_size(relid))::float8 as indexes,
      sum(n_dead_tup)::float8 as "deadRows",
      (select count(*) from public.moonpay_webhook_events) as events,
      (select count(*) from moonguard.deliveries where status = 'pending') as pending
    from pg_stat_user_tables where relname in ('moonpay_webhook_events', 'deliveries', 'delivery_attempts')
  `.execute(db);
  const [sizes] = rows;
  if (sizes === undefined) throw new Error('An aggregate gives one row.');
  return sizes;
}

function countFileDescriptors(): number | undefined {
  const directory = '/proc/self/fd';
  return existsSync(directory) ? readdirSync(directory).length : undefined;
}

async function answer(call: ProductCall): Promise<Started | Measurement | Record<string, never>> {
  if (call.do === 'start') return start(call.options);
  if (running === undefined) throw new Error('It has not been started.');
  if (call.do === 'measure') return measure(running);
  await running.stop();
  return {};
}

process.on('message', (call: ProductCall) => void reply(answer(call)));
process.once('disconnect', () => process.exit());
