import { Client } from 'pg';
import { connectDatabase } from '../src/database/connect.ts';
import type { Database } from '../src/database/database.ts';
import { databaseErrorReport } from '../src/database/databaseError.ts';
import { migrate } from '../src/database/migrate.ts';
import { startPostgres } from '../test/support/postgresServer.ts';

/** Where every variant gets a database of its own. */
export interface BenchServer {
  /** Resolves to the URL of a new, migrated database; to undefined where whoever uses it embeds it. */
  readonly createDatabase: () => Promise<string | undefined>;
  /** Between two variants' turns: nothing that one wrote is left to be put in its place while the other is measured. */
  readonly checkpoint: () => Promise<void>;
  /** Removes the databases. */
  readonly close: () => Promise<void>;
}

const INSUFFICIENT_PRIVILEGE = '42501';

const embedded: BenchServer = {
  createDatabase: async () => undefined,
  checkpoint: async () => {},
  close: async () => {},
};

/** @param serverUrl a PostgreSQL that is running already; without it one is started, as in production */
export async function openBenchServer(kind: Database['kind'], serverUrl: string | undefined): Promise<BenchServer> {
  if (kind === 'embedded') return embedded;
  if (serverUrl !== undefined) return useServer(serverUrl);
  const started = await startPostgres(18, { durable: true });
  const server = await useServer(started.url());
  return { ...server, close: () => started.stop() };
}

async function useServer(serverUrl: string): Promise<BenchServer> {
  await administer(serverUrl, requireDurability);
  const mayCheckpoint = await triesCheckpoint(serverUrl);
  if (!mayCheckpoint) {
    console.warn('The role may not checkpoint (pg_checkpoint): a variant may wait for what another has written.');
  }
  const names: string[] = [];
  const urlOf = (name: string): string => {
    const url = new URL(serverUrl);
    url.pathname = name;
    return url.href;
  };
  const create = async (template?: string): Promise<string> => {
    const name = `moonguard_bench_${process.pid}_${names.length}`;
    const like = template === undefined ? '' : ` template ${template}`;
    await administer(serverUrl, (client) => client.query(`create database ${name}${like}`));
    names.push(name);
    return name;
  };

  const template = await create();
  const database = await connectDatabase({ databaseUrl: urlOf(template) });
  await migrate(database);
  await database.close();
  return {
    createDatabase: async () => urlOf(await create(template)),
    checkpoint: async () => void (mayCheckpoint && (await triesCheckpoint(serverUrl))),
    close: () =>
      administer(serverUrl, async (client) => {
        for (const name of names) await client.query(`drop database ${name} with (force)`);
      }),
  };
}

/** False where the role may not. */
async function triesCheckpoint(serverUrl: string): Promise<boolean> {
  try {
    await administer(serverUrl, (client) => client.query('checkpoint'));
    return true;
  } catch (error) {
    if (databaseErrorReport(error).code !== INSUFFICIENT_PRIVILEGE) throw error;
    return false;
  }
}

async function administer(serverUrl: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client(serverUrl);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** What a loss of power would take back is faster than what is promised; whoever brings such a server hears of it. */
async function requireDurability(client: Client): Promise<void> {
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const { rows } = await client.query<{ value: string }>('select current_setting($1) as value', [setting]);
    if (rows[0]?.value !== 'on')
      console.error(`The database runs with ${setting} = ${rows[0]?.value}: figures are too good.`);
  }
}
