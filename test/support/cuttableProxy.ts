import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a PostgreSQL that a test can cut, as a failing network or a restarting server would. */
export interface CuttableProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** Breaks every connection and turns away new ones. */
  cut(): void;
  /** Turns away new connections; those that are there stay. */
  turnAwayNew(): void;
  /**
   * Lets nothing through any more, either way, and tells nobody: a network that drops packets. Connections of before
   * stay like that for ever, also after `restore`; new ones are accepted and get no answer until then.
   */
  silence(): void;
  /** New connections work. */
  restore(): void;
  /** Resolves when, from now on, `count` connections have been turned away. */
  turnedAway(count: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startProxy(databaseUrl: string): Promise<CuttableProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let newOnes: 'pass' | 'are turned away' | 'get no answer' = 'pass';
  let onTurnedAway: (() => void) | undefined;

  const server = createServer((client) => {
    if (newOnes === 'are turned away') {
      client.destroy();
      onTurnedAway?.();
      return;
    }
    if (newOnes === 'get no answer') {
      sockets.add(client);
      client.on('error', () => {});
      client.on('close', () => sockets.delete(client));
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
      newOnes = 'are turned away';
      breakAll();
    },
    turnAwayNew: () => {
      newOnes = 'are turned away';
    },
    silence: () => {
      newOnes = 'get no answer';
      for (const socket of sockets) socket.unpipe().pause();
    },
    restore: () => {
      newOnes = 'pass';
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
