import { type ErrorClass, errorClassOf, errorCode } from '../errorClass.ts';
import type { Connection } from './Connection.ts';
import type { Response } from './ResponseReader.ts';

export type ExchangeResult =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** The first 16 KiB as they came: not decompressed. */
      readonly body: Uint8Array;
      readonly bodyTruncated: boolean;
      readonly retryAfter: string | undefined;
      readonly durationMs: number;
    }
  | {
      readonly kind: 'failure';
      readonly errorClass: ErrorClass;
      readonly message: string;
      readonly durationMs: number;
    };

/** One request and what comes of it. Ends once: whatever it is told afterwards changes nothing. */
export class Exchange {
  /** Request line and header lines, with the empty line. */
  readonly head: string;
  readonly body: Uint8Array;
  readonly result: Promise<ExchangeResult>;
  /** By `performance.now()`. */
  readonly beganAtMs = performance.now();
  /** The one it is under way on, once it has one. */
  connection: Connection | undefined;
  #hasEnded = false;
  readonly #resolve: (result: ExchangeResult) => void;
  readonly #timer: NodeJS.Timeout;

  constructor(head: string, body: Uint8Array, timeoutMs: number) {
    this.head = head;
    this.body = body;
    const { promise, resolve } = Promise.withResolvers<ExchangeResult>();
    this.result = promise;
    this.#resolve = resolve;
    this.#timer = setTimeout(expire, timeoutMs, this);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @returns when it ended, by `performance.now()` */
  respond({ status, body, bodyTruncated, retryAfter }: Response): number {
    const endedAtMs = performance.now();
    const durationMs = endedAtMs - this.beganAtMs;
    this.#end({ kind: 'response', status, body, bodyTruncated, retryAfter, durationMs });
    return endedAtMs;
  }

  fail(errorClass: ErrorClass, message: string): void {
    this.#end({ kind: 'failure', errorClass, message, durationMs: performance.now() - this.beganAtMs });
  }

  failWith(error: Error): void {
    this.fail(errorClassOf(error), error.message || (errorCode(error) ?? error.name));
  }

  expire(): void {
    this.fail('timeout', 'no complete response in time');
    this.connection?.close();
  }

  #end(result: ExchangeResult): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#resolve(result);
  }
}

/** A function of its own, so that an exchange needs no closure for its timer. */
function expire(exchange: Exchange): void {
  exchange.expire();
}
