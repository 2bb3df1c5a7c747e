import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a PostgreSQL that a test can cut, as a failing network or a restarting server would. */
export interface CuttableProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** Breaks every connection and turns away new ones. */
  cut(): void;
  restore(): void;
  /** Resolves when, from now on, `count` connections have been turned away. */
  turnedAway(count: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startProxy(databaseUrl: string): Promise<CuttableProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let isCut = false;
  let onTurnedAway: (() => void) | undefined;

  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      onTurnedAway?.();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const url = new URL(databaseUrl);
  url.port = String(typeof address === 'object' ? address?.port : '');

  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    cut: () => {
      isCut = true;
      breakAll();
    },
    restore: () => {
      isCut = false;
    },
    turnedAway: (count) =>
      new Promise((resolve) => {
        let left = count;
        onTurnedAway = () => {
          left -= 1;
          if (left === 0) resolve();
        };
      }),
    stop: async () => {
      breakAll();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
