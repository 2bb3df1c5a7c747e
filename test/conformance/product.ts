import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { type RunningServer, startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard, type MoonguardOptions } from '../../src/moonguard.ts';
import type { Environment } from '../../src/observe/observation.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { receiveUrl } from '../../src/simulate/sendEvent.ts';
import type { CreateWebhookInput } from '../../src/webhooks/endpointInput.ts';
import { buyEvent, webhookKey, webhookRequest } from '../support/moonpay.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { Endpoint } from './endpoint.ts';

/** On PostgreSQL two, which share the work with no other coordination than the database. PGlite has one session. */
const workersOn = { postgres: 2, embedded: 1 } as const;

const webhookKeys = { sandbox: webhookKey, production: 'wk_live_4x0Kq5mTzJ1fVbYw8sNc' } as const;
const masterKey = Buffer.alloc(32, 7).toString('base64');

/** Three attempts, 10 ms apart. */
const quickly = {
  max_attempts: 3,
  backoff_strategy: 'fixed',
  initial_delay_ms: 10,
  max_delay_ms: 10,
  jitter: 0,
} as const;

export type ProductOptions = Omit<
  MoonguardOptions,
  'database' | 'databaseUrl' | 'masterKey' | 'webhookKeys' | 'observe'
>;

/** Runs the same tests against the product on PostgreSQL with two workers, and on PGlite. */
export function conformance(theme: string, tests: (product: Product) => void, options: ProductOptions = {}): void {
  forEachDatabase(theme, (open) => {
    const product = new Product(options);
    beforeAll(async () => product.open(await open()));
    afterAll(() => product.close());
    tests(product);
  });
}

interface Running {
  readonly database: TestDatabase;
  /** Administers, and receives while no worker does. It delivers nothing. */
  readonly front: Moonguard;
  readonly server: RunningServer;
}

/** Moonguard as it runs somewhere: a server that MoonPay posts to, workers that deliver, and a database between them. */
export class Product {
  readonly #options: ProductOptions;
  readonly #observed = observed();
  #running: Running | undefined;
  #workers: readonly Moonguard[] = [];
  /** Of the first worker, which receives while it runs: so part of the deliveries is leased as it is stored. */
  #workersServer: RunningServer | undefined;

  constructor(options: ProductOptions) {
    this.#options = { allowLoopbackDestinations: true, ...options };
  }

  get webhooks(): Moonguard['webhooks'] {
    return this.#run.front.webhooks;
  }

  get database(): TestDatabase {
    return this.#run.database;
  }

  async open(database: TestDatabase): Promise<void> {
    const front = await this.#connect(database);
    this.#running = { database, front, server: await startServer(front, { host: '127.0.0.1', port: 0 }) };
    await this.startWorkers();
  }

  async close(): Promise<void> {
    await this.stopWorkers();
    if (this.#running === undefined) return;
    const { server, front, database } = this.#running;
    await server.close();
    await front.stop();
    await database.close();
  }

  async startWorkers(): Promise<void> {
    const { database } = this.#run;
    const count = workersOn[database.kind];
    this.#workers = await Promise.all(Array.from({ length: count }, () => this.#connect(database)));
    await Promise.all(this.#workers.map((worker) => worker.start()));
    const [first] = this.#workers;
    if (first !== undefined) this.#workersServer = await startServer(first, { host: '127.0.0.1', port: 0 });
  }

  /** Until `startWorkers` events are received and stored, and nothing is sent. */
  async stopWorkers(): Promise<void> {
    const server = this.#workersServer;
    this.#workersServer = undefined;
    await server?.close();
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    this.#workers = [];
  }

  /** Creates an endpoint that lives as long as the test: it gets purchases, and tries three times within 20 ms. */
  async endpoint(url: string, { retryPolicy, ...given }: Partial<CreateWebhookInput> = {}): Promise<Endpoint> {
    const input = { events: ['transaction.*'], environment: 'sandbox', ...given } as const;
    const created = await this.webhooks.createWebhook({
      ...input,
      url,
      retryPolicy: { ...quickly, ...retryPolicy },
    });
    onTestFinished(() => this.webhooks.deleteWebhook(created.id));
    return new Endpoint(this, created);
  }

  /** Posts a purchase that nobody has heard of yet, or the given body, as MoonPay does; returns the id of the event. */
  async post(body: string | Uint8Array = newPurchase(), environment: Environment = 'sandbox'): Promise<string> {
    // As MoonPay does: once more when the server was being stopped.
    const response = await this.#send(body, environment).catch(() => this.#send(body, environment));
    const answer = (await response.json()) as { readonly event_id?: string };
    if (answer.event_id === undefined) throw new Error(`The webhook was refused: ${JSON.stringify(answer)}`);
    return answer.event_id;
  }

  #send(body: string | Uint8Array, environment: Environment): Promise<Response> {
    const url = receiveUrl((this.#workersServer ?? this.#run.server).url, environment);
    return fetch(webhookRequest(url, body, { key: webhookKeys[environment] }));
  }

  /** Posts so many new purchases, 32 at a time. */
  async postMany(count: number): Promise<string[]> {
    const ids: string[] = [];
    let posted = 0;
    const post = async (): Promise<void> => {
      while (posted++ < count) ids.push(await this.post());
    };
    await Promise.all(Array.from({ length: 32 }, post));
    return ids;
  }

  /** Gives the next observation of any worker that fits. */
  get next(): Observed['next'] {
    return this.#observed.next;
  }

  get #run(): Running {
    if (this.#running === undefined) throw new Error('The product is not running.');
    return this.#running;
  }

  #connect(database: TestDatabase): Promise<Moonguard> {
    const connection = database.url === undefined ? { database } : { databaseUrl: database.url };
    return createMoonguard({
      ...this.#options,
      ...connection,
      masterKey,
      webhookKeys: { sandbox: [webhookKeys.sandbox], production: [webhookKeys.production] },
      observe: this.#observed.observe,
    });
  }
}

export function newPurchase(data: Readonly<Record<string, unknown>> = {}): string {
  return buyEvent({ id: systemRuntime.newId(), ...data });
}
