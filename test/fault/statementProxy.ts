import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Where a statement is struck: not sent to the database any more, or carried out there and its answer lost. */
export type Moment = 'before' | 'after';

/** A way to a PostgreSQL on which one statement can be struck: both ends lose the connection then. */
export interface StatementProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** The text of every statement that a client has sent. */
  readonly statements: readonly string[];
  /** Strikes the next statement that fits; resolves when it has happened. */
  strike(statement: RegExp, moment: Moment, onStrike?: () => void): Promise<void>;
  /** Keeps the next statement that fits; resolves, when it is there, with what lets it go on. */
  hold(statement: RegExp): Promise<() => void>;
}

interface Trap {
  readonly statement: RegExp;
  readonly spring: (pass: () => void, sockets: Connection) => void;
}

interface Connection {
  readonly client: Socket;
  readonly upstream: Socket;
  /** When the database is through with what it is at, in place of its answer. */
  onAnswer: (() => void) | undefined;
}

/** Ends with the test. Takes one client's statements one at a time, as `pg` sends them. */
export async function statementProxy(databaseUrl: string): Promise<StatementProxy> {
  const target = new URL(databaseUrl);
  const statements: string[] = [];
  const sockets = new Set<Socket>();
  let trap: Trap | undefined;

  const server = createServer((client) => {
    const connection: Connection = {
      client,
      upstream: connect(Number(target.port), target.hostname),
      onAnswer: undefined,
    };
    const { upstream } = connection;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => end(connection));
    }
    const take = statementReader((message, statement) => {
      if (statement !== undefined) statements.push(statement);
      const pass = (): void => void upstream.write(message);
      if (statement === undefined || trap?.statement.test(statement) !== true) {
        pass();
        return;
      }
      const { spring } = trap;
      trap = undefined;
      spring(pass, connection);
    });
    client.on('data', take);
    upstream.on('data', (answer) => {
      if (connection.onAnswer === undefined) client.write(answer);
      else if (endsAnswer(answer)) connection.onAnswer();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const url = new URL(databaseUrl);
  url.port = String(typeof address === 'object' ? address?.port : '');

  return {
    url: url.href,
    statements,
    strike: (statement, moment, onStrike = () => {}) =>
      new Promise((resolve) => {
        const spring: Trap['spring'] = (pass, connection) => {
          const struck = (): void => {
            onStrike();
            end(connection);
            resolve();
          };
          if (moment === 'before') struck();
          else {
            connection.onAnswer = struck;
            pass();
          }
        };
        trap = { statement, spring };
      }),
    hold: (statement) =>
      new Promise((resolve) => {
        trap = { statement, spring: resolve };
      }),
  };
}

function end({ client, upstream }: Connection): void {
  client.destroy();
  upstream.destroy();
}

const QUERY = 'Q';
const PARSE = 'P';
const SYNC = 'S';

/** Gives what a client sends in pieces that end with a statement, and its text; the greeting and password as they come. */
function statementReader(onPiece: (piece: Buffer, statement: string | undefined) => void): (data: Buffer) => void {
  let greeted = false;
  let rest: Buffer = Buffer.alloc(0);
  let piece: Buffer[] = [];
  let text: string | undefined;
  return (data) => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      // The greeting has no letter before its length.
      const header = greeted ? 1 : 0;
      if (rest.length < header + 4) return;
      const length = header + rest.readInt32BE(header);
      if (rest.length < length) return;
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      piece.push(message);
      const letter = greeted ? message.toString('latin1', 0, 1) : '';
      greeted = true;
      if (letter === QUERY) text = message.toString('utf8', 5, length - 1);
      // Behind the name of the prepared statement.
      if (letter === PARSE) text = message.toString('utf8', message.indexOf(0, 5) + 1).split('\0')[0];
      const isStatement = letter === QUERY || letter === SYNC;
      if (!isStatement && text !== undefined) continue;
      onPiece(Buffer.concat(piece), isStatement ? text : undefined);
      piece = [];
      text = undefined;
    }
  };
}

/** Whether the database is ready for the next statement: its last message is `Z`, with one byte. */
function endsAnswer(answer: Buffer): boolean {
  return answer.toString('latin1', answer.length - 6, answer.length - 5) === 'Z';
}
