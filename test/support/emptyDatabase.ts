import { PGlite } from '@electric-sql/pglite';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { connectDatabase, type DatabaseOptions } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import { parsers, pgTypes } from '../../src/database/parsers.ts';
import { type PostgresServer, startPostgres } from './postgresServer.ts';

export type Row = Record<string, unknown>;

/** A database that nothing was installed into. It ends with the test. */
export interface EmptyDatabase {
  /** Runs a script as a person would who pastes it in; gives the rows of its last statement. */
  run(script: string): Promise<Row[]>;
  /** The same database as the program opens it. On PGlite a copy: what it changes `run` does not see. */
  openProgram(): Promise<Database>;
  /** Ends the connection; what it gives opens copies of the database as it is now, sooner than a script makes it again. */
  freeze(): Promise<() => Promise<EmptyDatabase>>;
}

export interface EmptyPostgres extends EmptyDatabase {
  /** Of a superuser, or of the role of `as`. */
  readonly url: string;
  /** The same database for a role whose password is its name. */
  as(role: string): Promise<EmptyPostgres>;
}

/** An installation takes half a second on an idle machine; on a busy one many times that. */
const timeout = { timeout: 60_000 };

/** Runs the same tests on the oldest and the newest PostgreSQL and on PGlite, each test on databases of its own. */
export function onEveryServer(name: string, tests: (create: () => Promise<EmptyDatabase>) => void): void {
  onEveryPostgres(name, tests);
  onEmbedded(name, tests);
}

/** The same on PGlite alone. */
export function onEmbedded(name: string, tests: (create: () => Promise<EmptyDatabase>) => void): void {
  describe(`${name} (PGlite)`, timeout, () => {
    const opened = endingWithTheTest();
    tests(() => createEmbedded(opened));
  });
}

/** The same on the two PostgreSQL servers alone. Roles belong to the server: every later test of `tests` sees them. */
export function onEveryPostgres(
  name: string,
  tests: (create: (owner?: string) => Promise<EmptyPostgres>) => void,
): void {
  describe.each([15, 18] as const)(`${name} (PostgreSQL %s)`, timeout, (version) => {
    let server: PostgresServer;
    beforeAll(async () => {
      server = await startPostgres(version);
    });
    afterAll(() => server.stop());
    const opened = endingWithTheTest();
    tests(async (owner) => connectTo(await createDatabase(server, { owner }), server, opened));
  });
}

type Opened = (() => Promise<void>)[];

function endingWithTheTest(): Opened {
  const opened: Opened = [];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.splice(0).toReversed()) await close();
  };
  afterEach(closeAll);
  // What a beforeAll that failed has left.
  afterAll(closeAll);
  return opened;
}

let created = 0;

async function createDatabase(
  server: PostgresServer,
  { owner = 'postgres', template = 'template0' }: { owner?: string | undefined; template?: string },
): Promise<string> {
  created += 1;
  const name = `empty_${created}`;
  const client = new Client(server.url());
  await client.connect();
  await client.query(`create database ${name} template ${template} owner ${owner}`);
  await client.end();
  return server.url(name);
}

async function connectTo(url: string, server: PostgresServer, opened: Opened): Promise<EmptyPostgres> {
  const client = new Client({ connectionString: url, types: pgTypes });
  await client.connect();
  let ended = false;
  const end = async (): Promise<void> => {
    if (!ended) await client.end();
    ended = true;
  };
  opened.push(end);
  return {
    url,
    run: async (script) => lastRows(await client.query(script)),
    openProgram: async () => openProgram({ databaseUrl: url }, opened),
    as: async (role) => {
      const asRole = Object.assign(new URL(url), { username: role, password: role });
      return connectTo(asRole.href, server, opened);
    },
    freeze: async () => {
      await end();
      const template = new URL(url).pathname.slice(1);
      return async () => connectTo(await createDatabase(server, { template }), server, opened);
    },
  };
}

/** Starting from it takes a quarter of the time. */
let emptyCluster: Promise<Blob> | undefined;

async function makeEmptyCluster(): Promise<Blob> {
  const pglite = await PGlite.create();
  const cluster = await pglite.dumpDataDir('none');
  await pglite.close();
  return cluster;
}

async function createEmbedded(opened: Opened): Promise<EmptyDatabase> {
  emptyCluster ??= makeEmptyCluster();
  return startEmbedded(await emptyCluster, opened);
}

async function startEmbedded(cluster: Blob, opened: Opened): Promise<EmptyDatabase> {
  const pglite = await PGlite.create({ parsers: { ...parsers }, loadDataDir: cluster });
  opened.push(async () => {
    if (!pglite.closed) await pglite.close();
  });
  return {
    run: async (script) => lastRows(await pglite.exec(script)),
    openProgram: async () => openProgram({ inMemory: true, loadDataDir: await pglite.dumpDataDir('none') }, opened),
    freeze: async () => {
      const frozen = await pglite.dumpDataDir('none');
      await pglite.close();
      return () => startEmbedded(frozen, opened);
    },
  };
}

async function openProgram(options: DatabaseOptions, opened: Opened): Promise<Database> {
  const program = await connectDatabase(options);
  opened.push(() => program.close());
  return program;
}

interface Result {
  readonly rows: Row[];
}

/** `pg` gives one result for one statement and a list for several. */
function lastRows(results: Result | Result[]): Row[] {
  const last = Array.isArray(results) ? results.at(-1) : results;
  return last?.rows ?? [];
}
