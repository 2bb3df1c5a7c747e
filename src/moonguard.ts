import { ArchiveService } from './archive/ArchiveService.ts';
import type { ArchiveSettings } from './archive/settings.ts';
import { AuditService } from './audit/AuditService.ts';
import { LogPublisher } from './audit/LogPublisher.ts';
import { openLogKey } from './audit/logKey.ts';
import { Sequencer } from './audit/Sequencer.ts';
import { WitnessKeeper } from './audit/WitnessKeeper.ts';
import { parseWitness } from './audit/witness.ts';
import { ComplianceService } from './compliance/ComplianceService.ts';
import { CustomerService } from './compliance/CustomerService.ts';
import { connectDatabase, type DatabaseOptions } from './database/connect.ts';
import { connectionError } from './database/connectionError.ts';
import type { Database } from './database/database.ts';
import { migrate, schemaStatus } from './database/migrate.ts';
import { type BreakerSettings, defaultBreaker } from './deliver/breaker.ts';
import { DeliveryWorker } from './deliver/DeliveryWorker.ts';
import { createEndpointPreparer } from './deliver/endpointPreparer.ts';
import { Replayer } from './deliver/Replayer.ts';
import { createSender } from './deliver/send.ts';
import { MoonguardError } from './errors.ts';
import { JobRunner } from './jobs/JobRunner.ts';
import { Jobs } from './jobs/Jobs.ts';
import { scheduledJobs } from './jobs/scheduledJobs.ts';
import type { Environment, Observe } from './observe/observation.ts';
import { type DeliveryQueue, readDeliveryQueue } from './observe/store/readDeliveryQueue.ts';
import { type Inventory, readInventory } from './observe/store/readInventory.ts';
import { AccountService } from './policy/AccountService.ts';
import { Backtester } from './policy/Backtester.ts';
import { Decider } from './policy/Decider.ts';
import { installDefaultPolicies } from './policy/defaultPolicies.ts';
import { PolicyService } from './policy/PolicyService.ts';
import { createProviderKeys, type ProviderKeys } from './receive/providerKeys.ts';
import { Receiver } from './receive/Receiver.ts';
import { HoldService } from './retention/HoldService.ts';
import { RetentionService, type RetentionSettings } from './retention/RetentionService.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { openSecretBox } from './secrets/masterKey.ts';
import { createClientCertificates } from './webhooks/clientCertificates.ts';
import { createEndpointSecrets } from './webhooks/endpointSecrets.ts';
import { WebhookHandler } from './webhooks/WebhookHandler.ts';

export interface MoonguardOptions {
  /** PostgreSQL or Supabase; without it the embedded database in `dataDirectory` is used. */
  readonly databaseUrl?: string | undefined;
  /** Directory of the embedded database and of a generated master key. Default `./data`. */
  readonly dataDirectory?: string;
  /** Instead of the two above: any database that is open already, which the caller closes. */
  readonly database?: Database;
  /** 32 bytes in base64. Default: read from, or generated into, `master.key` in the data directory. */
  readonly masterKey?: string | undefined;
  /** `PRIVATE+KEY+…` that signs the audit log. Default: read from `log.key` in the data directory, generated there beside the embedded database. */
  readonly logKey?: string | undefined;
  /** Who else watches the audit log: `<verifier key> <URL>` each. */
  readonly witnesses?: readonly string[] | undefined;
  /** Directory that is kept at the newest checkpoint, for any web server to serve. */
  readonly logDirectory?: string | undefined;
  /** MoonPay's webhook keys (`wk_…`), besides those in the database. */
  readonly webhookKeys?: Partial<Record<Environment, readonly string[]>>;
  /** Default 300. */
  readonly signatureToleranceSeconds?: number;
  /** Default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** Requests in flight at a time; default 256. One endpoint alone gets at most half of them. */
  readonly deliveryConcurrency?: number;
  /** Whether sandbox endpoints may be on this machine; default false. */
  readonly allowLoopbackDestinations?: boolean;
  /** Milliseconds a worker may hold a delivery beyond the endpoint's timeout; default 15000. */
  readonly leaseMs?: number;
  /** How long events, attempts and bodies are kept; default 90 days. */
  readonly retention?: RetentionSettings;
  /** Where archives of the policy log go; without a target, none are made. */
  readonly archive?: ArchiveSettings | undefined;
  /** When an endpoint that fails is suspended, probed and given up; each part has its default. */
  readonly breaker?: Partial<BreakerSettings>;
  /** Default true: brings the schema up to date before anything else. */
  readonly migrate?: boolean;
  readonly observe?: Observe;
  readonly runtime?: Runtime;
}

export interface Readiness {
  readonly status: 'ready' | 'not_ready';
  readonly database: 'ok' | 'unavailable';
  readonly schema: 'current' | 'outdated' | 'newer' | 'unknown';
}

export interface Moonguard {
  readonly database: Database;
  readonly webhooks: WebhookHandler;
  readonly compliance: ComplianceService;
  readonly customers: CustomerService;
  readonly policies: PolicyService;
  readonly accounts: AccountService;
  readonly audit: AuditService;
  readonly archives: ArchiveService;
  readonly providerKeys: ProviderKeys;
  readonly retention: RetentionService;
  readonly jobs: Jobs;
  readonly holds: HoldService;
  /** Whether requests can be served now. */
  readiness(): Promise<Readiness>;
  /** How much there is in the database. Takes time where there is much. */
  inventory(): Promise<Inventory>;
  /** What waits to be delivered. Cheap: for whoever watches. */
  deliveryQueue(): Promise<DeliveryQueue>;
  /** Begins to deliver, to decide and to watch the deadlines of alerts in this process. Receiving and the services work without it. */
  start(): Promise<void>;
  /** Finishes what is under way and closes the database. */
  stop(): Promise<void>;
}

/**
 * Opens the database, brings its schema up to date and wires the services.
 * @throws MoonguardError database_unavailable, database_locked, migration_failed, schema_newer, schema_outdated, master_key_missing, master_key_mismatch
 */
export async function createMoonguard(options: MoonguardOptions = {}): Promise<Moonguard> {
  const { runtime = systemRuntime, dataDirectory = './data' } = options;
  const observe = harmless(options.observe);
  const database =
    options.database ?? (await connectDatabase(databaseOptions(options, dataDirectory), { observe, runtime }));
  try {
    await prepareSchema(database, options.migrate ?? true);
    return await wire(database, { ...options, observe, runtime, dataDirectory });
  } catch (error) {
    if (options.database === undefined) await database.close();
    throw connectionError(error);
  }
}

/** Whoever watches must not be able to stop the work: what an observer throws is dropped. */
function harmless(observe: Observe = () => {}): Observe {
  return (observation) => {
    try {
      observe(observation);
    } catch {}
  };
}

function databaseOptions({ databaseUrl }: MoonguardOptions, dataDirectory: string): DatabaseOptions {
  return databaseUrl === undefined ? { dataDirectory } : { databaseUrl };
}

async function prepareSchema(database: Database, mayMigrate: boolean): Promise<void> {
  if (mayMigrate) {
    await migrate(database);
    await installDefaultPolicies(database);
    return;
  }
  const { pending, newer } = await schemaStatus(database);
  if (newer) throw new MoonguardError('schema_newer', 'The database was migrated by a newer version.');
  if (pending.length > 0) throw new MoonguardError('schema_outdated', `Migrations to run: ${pending.join(', ')}.`);
}

type WiringOptions = MoonguardOptions & Required<Pick<MoonguardOptions, 'observe' | 'runtime' | 'dataDirectory'>>;

async function wire(database: Database, options: WiringOptions): Promise<Moonguard> {
  const { observe, runtime, allowLoopbackDestinations = false } = options;
  const secretBox = await openSecretBox(
    database.db,
    { masterKey: options.masterKey, dataDirectory: options.dataDirectory },
    observe,
  );
  const endpointSecrets = createEndpointSecrets({ secretBox, runtime });
  const clientCertificates = createClientCertificates({ secretBox, runtime });
  await endpointSecrets.sealAll(database.db);
  const providerKeys = createProviderKeys({
    database,
    secretBox,
    runtime,
    configuredKeys: { sandbox: options.webhookKeys?.sandbox ?? [], production: options.webhookKeys?.production ?? [] },
  });

  const sender = createSender({
    allowLoopback: (environment) => allowLoopbackDestinations && environment === 'sandbox',
  });
  const worker = new DeliveryWorker({
    database,
    runtime,
    observe,
    sender,
    prepareEndpoint: createEndpointPreparer({ database, observe, endpointSecrets, clientCertificates }),
    breaker: { ...defaultBreaker, ...options.breaker },
    concurrency: options.deliveryConcurrency ?? 256,
    ...(options.leaseMs !== undefined && { leaseMs: options.leaseMs }),
  });
  const compliance = new ComplianceService({ database });
  const policies = new PolicyService({ database, compliance, runtime });
  const customers = new CustomerService({ database, compliance, policies });
  const accounts = new AccountService({ policies });
  const decider = new Decider({ ...policies.deciding, runtime, observe });

  const receiver = new Receiver({
    database,
    runtime,
    observe,
    providerKeys,
    signatureToleranceSeconds: options.signatureToleranceSeconds ?? 300,
    maxBodyBytes: options.maxBodyBytes ?? 1_048_576,
    localStages: { offerLease: () => worker.offerLease(), decider },
  });
  const webhooks = new WebhookHandler({
    database,
    runtime,
    endpointSecrets,
    clientCertificates,
    receiver,
    allowLoopbackDestinations,
  });
  const audit = new AuditService({ database, logKey: options.logKey, dataDirectory: options.dataDirectory });
  const archives = new ArchiveService({ database, runtime, secretBox, audit, settings: options.archive ?? {} });
  const retention = new RetentionService({ database, runtime, settings: options.retention ?? {} });
  const replayer = new Replayer({ database, observe });
  const backtester = new Backtester({ database, observe, sets: policies.deciding.sets });
  const jobs = scheduledJobs({
    database,
    retention,
    archives: options.archive?.target === undefined ? undefined : archives,
    observe,
  });
  const jobRunner = new JobRunner({ database, observe, jobs });
  const witnesses = new WitnessKeeper({ database, observe, witnesses: (options.witnesses ?? []).map(parseWitness) });
  const { logDirectory: folder } = options;
  const publisher = folder === undefined ? undefined : new LogPublisher({ database, observe, audit, folder });
  let sequencer: Sequencer | undefined;

  return {
    database,
    webhooks,
    compliance,
    customers,
    policies,
    accounts,
    audit,
    archives,
    providerKeys,
    retention,
    jobs: new Jobs({ database, jobs, runner: jobRunner }),
    holds: new HoldService({ database }),
    readiness: () => readiness(database),
    inventory: () => readInventory(database.db),
    deliveryQueue: () => readDeliveryQueue(database.db),
    start: async () => {
      sequencer = await openSequencer(database, options);
      sequencer?.start();
      witnesses.start();
      publisher?.start();
      await Promise.all([worker.start(), replayer.start(), decider.start(), backtester.start(), jobRunner.start()]);
    },
    stop: async () => {
      await Promise.all([worker.stop(), replayer.stop(), decider.stop(), backtester.stop(), jobRunner.stop()]);
      await sequencer?.stop();
      await Promise.all([witnesses.stop(), publisher?.stop()]);
      await providerKeys.close();
      await sender.close();
      if (options.database === undefined) await database.close();
    },
  };
}

/** Undefined in a process that has no key of the log. */
async function openSequencer(database: Database, options: WiringOptions): Promise<Sequencer | undefined> {
  const { observe, runtime, logKey, dataDirectory } = options;
  const ownsDirectory = options.database === undefined && database.kind === 'embedded';
  const newName = () => `moonguard.invalid/${runtime.newId()}`;
  const findSigner = () => openLogKey(database.db, { logKey, dataDirectory, mayMake: ownsDirectory, newName }, observe);
  const signer = await findSigner();
  if (signer !== undefined) return new Sequencer({ database, observe, signer, findSigner, leader: runtime.newId() });
  observe({ type: 'audit.key_missing' });
  return undefined;
}

async function readiness(database: Database): Promise<Readiness> {
  try {
    const { pending, newer } = await schemaStatus(database);
    const schema = newer ? 'newer' : pending.length > 0 ? 'outdated' : 'current';
    return { status: schema === 'current' ? 'ready' : 'not_ready', database: 'ok', schema };
  } catch {
    return { status: 'not_ready', database: 'unavailable', schema: 'unknown' };
  }
}
