import { ChunkedBody } from './ChunkedBody.ts';
import { KeptBody } from './KeptBody.ts';
import { MeasuredBody } from './MeasuredBody.ts';
import { parseResponseHead, type ResponseHead } from './responseHead.ts';

/** Of all heads of a response together: informational ones (1xx) may come before the final one. */
const LONGEST_HEADS = 16 * 1024;
/** More of a body is not kept, and ends the connection. */
const LONGEST_BODY = 16 * 1024;

const PROTOCOL = 'HTTP/1.';
const EMPTY_LINE = '\r\n\r\n';

export interface Response {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** The first 16 KiB as they came: not decompressed. */
  readonly body: Buffer;
  readonly bodyTruncated: boolean;
  /** How long the server waits for another request; 0 when the connection is of no use any more. */
  readonly keepAliveMs: number;
}

/** A response whose head has come. */
interface Begun {
  readonly head: ResponseHead;
  readonly body: MeasuredBody | ChunkedBody;
  readonly kept: KeptBody;
}

/** Reads the responses that come over one connection, one after the other, however their bytes are cut. */
export class ResponseReader {
  /** What has come of a head. */
  #headText = '';
  #headsLength = 0;
  #begun: Begun | undefined;
  /** Parsing takes 1.7 µs, and a server says the same until its `date` changes. */
  #lastHeadText = '';
  #lastHead: ResponseHead | undefined;

  /** The bytes stay the caller's. @returns the response when it is complete, or as much of it as is kept */
  read(bytes: Buffer): Response | 'incomplete' | 'malformed' {
    const bodyAt = this.#begun === undefined ? this.#readHeads(bytes) : 0;
    if (typeof bodyAt === 'string') return bodyAt;
    return this.#begun === undefined ? 'incomplete' : this.#readBody(bytes, bodyAt, this.#begun);
  }

  /** The server sends no more. */
  end(): Response | 'incomplete' {
    return this.#begun?.body.endsWithConnection ? this.#complete(this.#begun, 0) : 'incomplete';
  }

  /** @returns where the body begins, or the bytes end */
  #readHeads(bytes: Buffer): number | 'malformed' {
    let at = 0;
    while (this.#begun === undefined) {
      const before = this.#headText;
      const room = LONGEST_HEADS - this.#headsLength;
      const text = before + bytes.toString('latin1', at, at + room - before.length);
      const end = text.indexOf(EMPTY_LINE, before.length - EMPTY_LINE.length);
      if (end === -1) {
        this.#headText = text;
        const mayBeHttp = text.length < room && PROTOCOL.startsWith(text.slice(0, PROTOCOL.length));
        return mayBeHttp ? bytes.length : 'malformed';
      }
      const length = end + EMPTY_LINE.length;
      at += length - before.length;
      this.#headText = '';
      this.#headsLength += length;
      const head = this.#parseHead(text.slice(0, end));
      // Nobody asked for another protocol (101).
      if (head === undefined || head.status === 101) return 'malformed';
      if (head.status >= 200) this.#begun = begin(head);
    }
    return at;
  }

  #parseHead(text: string): ResponseHead | undefined {
    if (text !== this.#lastHeadText) {
      this.#lastHead = parseResponseHead(text);
      this.#lastHeadText = text;
    }
    return this.#lastHead;
  }

  #readBody(bytes: Buffer, from: number, begun: Begun): Response | 'incomplete' | 'malformed' {
    const { head, body, kept } = begun;
    const at = body.read(bytes, from);
    if (body.state === 'complete') return this.#complete(begun, at === bytes.length ? head.keepAliveMs : 0);
    return kept.isTruncated ? this.#complete(begun, 0) : body.state;
  }

  #complete({ head, kept }: Begun, keepAliveMs: number): Response {
    this.#begun = undefined;
    this.#headsLength = 0;
    const { status, retryAfter } = head;
    return { status, retryAfter, body: kept.bytes, bodyTruncated: kept.isTruncated, keepAliveMs };
  }
}

function begin(head: ResponseHead): Begun {
  const kept = new KeptBody(LONGEST_BODY);
  const body = head.bodyLength === 'chunked' ? new ChunkedBody(kept) : new MeasuredBody(head.bodyLength, kept);
  return { head, body, kept };
}
