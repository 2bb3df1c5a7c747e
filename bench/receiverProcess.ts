import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { reply } from './childProcess.ts';
import { monotonicMs } from './clock.ts';
import { createMessageReader } from './httpMessages.ts';

/** The process behind `startReceiver`. */

/** How an endpoint answers. What is counted is counted of its own requests, so every round meets the same. */
export type Behaviour =
  | { readonly kind: 'at-once' }
  /** Every `everyNth` request is answered after so long, the others at once. */
  | { readonly kind: 'slow'; readonly afterMs: number; readonly everyNth: number }
  /** Every `everyNth` webhook-id is answered with 500 when it comes first, and with 200 when it comes again. */
  | { readonly kind: 'failing'; readonly everyNth: number }
  /** 500, always. */
  | { readonly kind: 'broken' }
  /** Takes requests and never answers. */
  | { readonly kind: 'hanging' };

export type ReceiverCall =
  | { readonly do: 'listen'; readonly behaviours: readonly Behaviour[] }
  /** What came to the endpoint at this place since it was last asked. */
  | { readonly do: 'take'; readonly place: number };

export interface Received {
  /** After `listen`: one for each behaviour. */
  readonly urls: readonly string[];
  readonly requests: number;
  /** Requests that were answered with 500. */
  readonly refused: number;
  /** When each `webhook-id` came first, by `monotonicMs`. */
  readonly arrivals: ReadonlyMap<string, number>;
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}';
const ERROR =
  'HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"ok":false}';

/** One port with its behaviour: to a sender it is a host of its own, with connections of its own. */
class Endpoint {
  readonly #behaviour: Behaviour;
  readonly #server: Server;
  #requests = 0;
  #refused = 0;
  #arrivals = new Map<string, number>();

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
    this.#server = createServer({ noDelay: true }, (socket) => {
      socket.on(
        'data',
        createMessageReader((head) => this.#receive(head, socket)),
      );
      socket.on('error', () => {}); // the sender may close while something is under way
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    return `http://127.0.0.1:${port}/webhooks`;
  }

  take(): Received {
    const received = { urls: [], requests: this.#requests, refused: this.#refused, arrivals: this.#arrivals };
    this.#requests = 0;
    this.#refused = 0;
    this.#arrivals = new Map();
    return received;
  }

  #receive(head: string, socket: Socket): void {
    const id = /\r\nwebhook-id: *([^\r]*)/i.exec(head)?.[1] ?? '';
    const isFirst = !this.#arrivals.has(id);
    if (isFirst) this.#arrivals.set(id, monotonicMs());
    this.#requests++;
    this.#answer(socket, isFirst);
  }

  #answer(socket: Socket, isFirst: boolean): void {
    const behaviour = this.#behaviour;
    switch (behaviour.kind) {
      case 'at-once':
        socket.write(OK);
        return;
      case 'slow':
        if (this.#requests % behaviour.everyNth === 0) setTimeout(() => socket.write(OK), behaviour.afterMs);
        else socket.write(OK);
        return;
      case 'failing':
        if (isFirst && this.#arrivals.size % behaviour.everyNth === 0) this.#refuse(socket);
        else socket.write(OK);
        return;
      case 'broken':
        this.#refuse(socket);
        return;
      case 'hanging':
        return;
    }
  }

  #refuse(socket: Socket): void {
    this.#refused++;
    socket.write(ERROR);
  }
}

const nothing: Received = { urls: [], requests: 0, refused: 0, arrivals: new Map() };
let endpoints: readonly Endpoint[] = [];

async function answer(call: ReceiverCall): Promise<Received> {
  switch (call.do) {
    case 'listen':
      endpoints = call.behaviours.map((behaviour) => new Endpoint(behaviour));
      return { ...nothing, urls: await Promise.all(endpoints.map((endpoint) => endpoint.listen())) };
    case 'take':
      return endpoints[call.place]?.take() ?? nothing;
  }
}

process.on('message', (call: ReceiverCall) => void reply(answer(call)));
process.once('disconnect', () => process.exit());
