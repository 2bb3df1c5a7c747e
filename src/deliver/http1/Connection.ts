import type { Socket } from 'node:net';
import type { ErrorClass } from '../errorClass.ts';
import type { Connect } from './connect.ts';
import type { Exchange } from './Exchange.ts';
import { type Response, ResponseReader } from './ResponseReader.ts';
import { writeTogether } from './writeTogether.ts';

/** Most responses come in one piece of this size. */
const READ_BYTES = 8 * 1024;
/** Of a body, to go with the head in one piece: 2 µs less than in two. */
const LARGEST_COPY = 64 * 1024;
const LONGEST_IDLE_MS = 4_000;
/** So much before the server closes a connection it gets no request any more. */
const CLOSING_MS = 1_000;

export interface ConnectionOwner {
  /** It may be given another exchange, until `idleUntilMs`. */
  onFree(connection: Connection): void;
  onClosed(connection: Connection): void;
}

/** One exchange at a time over one socket. */
export class Connection {
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #reader = new ResponseReader();
  #exchange: Exchange | undefined;
  #idleUntilMs = 0;
  #isClosed = false;

  /** Connects for this exchange, and begins it then. */
  constructor(connect: Connect, exchange: Exchange, owner: ConnectionOwner) {
    this.#owner = owner;
    this.#assign(exchange);
    // A buffer of its own: on Windows the system may write into it long before it says so.
    const bytes = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (length: number): boolean => {
      this.#onBytes(bytes.subarray(0, length));
      return true;
    };
    this.#socket = connect({ buffer: bytes, callback }, () => this.#write(exchange));
    this.#socket.on('end', () => this.#onEnd());
    this.#socket.on('error', (error) => {
      this.#exchange?.failWith(error);
      this.close();
    });
    this.#socket.on('close', () => this.close());
  }

  /** By `performance.now()`. */
  get idleUntilMs(): number {
    return this.#idleUntilMs;
  }

  begin(exchange: Exchange): void {
    this.#assign(exchange);
    this.#write(exchange);
  }

  /** What is under way fails, unless it has ended before. */
  close(
    errorClass: ErrorClass = 'connection_reset',
    message = 'the connection ended before the response was complete',
  ): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy();
    this.#exchange?.fail(errorClass, message);
    this.#owner.onClosed(this);
  }

  #assign(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.connection = this;
  }

  /** One system call, and one TLS record while that is large enough. */
  #write({ head, body }: Exchange): void {
    if (body.length <= LARGEST_COPY) {
      const request = Buffer.allocUnsafe(head.length + body.length);
      request.write(head, 'latin1');
      request.set(body, head.length);
      writeTogether(this.#socket, request);
      return;
    }
    this.#socket.cork();
    this.#socket.write(head, 'latin1');
    this.#socket.write(body);
    this.#socket.uncork();
  }

  #onBytes(bytes: Buffer): void {
    // Nobody asked: these must not become the answer to the next request.
    if (this.#exchange === undefined) return this.close();
    const read = this.#reader.read(bytes);
    if (read === 'malformed')
      this.close('protocol_error', 'the response is not valid HTTP/1.1, or its headers exceed 16 KiB');
    else if (read !== 'incomplete') this.#finish(this.#exchange, read);
  }

  #onEnd(): void {
    const read = this.#reader.end();
    if (this.#exchange !== undefined && read !== 'incomplete') this.#finish(this.#exchange, read);
    else this.close();
  }

  #finish(exchange: Exchange, response: Response): void {
    this.#exchange = undefined;
    const endedAtMs = exchange.respond(response);
    this.#idleUntilMs = endedAtMs + Math.min(LONGEST_IDLE_MS, response.keepAliveMs - CLOSING_MS);
    // A server may answer before it has the whole request; the rest of it is not for the next one.
    const isFree = this.#idleUntilMs > endedAtMs && this.#socket.writableLength === 0;
    if (isFree) this.#owner.onFree(this);
    else this.close();
  }
}
