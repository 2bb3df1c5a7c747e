import { fieldValue, token } from './fieldSyntax.ts';
import type { KeptBody } from './KeptBody.ts';

/** Of the line with a chunk's size and its extensions, and of all trailers together. */
const LONGEST_LINES = 4 * 1024;
const LF = 0x0a;

const sizeLine = new RegExp(`^([0-9a-f]{1,12})[\\t ]*(?:;${fieldValue})?\r\n$`, 'i');
const trailerLine = new RegExp(`^${token}:${fieldValue}\r\n$`);

type State = 'size' | 'data' | 'data end' | 'trailers' | 'complete' | 'malformed';

/** Takes a body out of its chunks and passes over extensions and trailers: RFC 9112, section 7.1. */
export class ChunkedBody {
  readonly endsWithConnection = false;
  readonly #kept: KeptBody;
  #state: State = 'size';
  /** What has come of a line. */
  #line = '';
  /** Bytes of lines since the last data. */
  #linesLength = 0;
  /** Bytes of data to come in this chunk. */
  #remaining = 0;

  constructor(kept: KeptBody) {
    this.#kept = kept;
  }

  get state(): 'incomplete' | 'complete' | 'malformed' {
    return this.#state === 'complete' || this.#state === 'malformed' ? this.#state : 'incomplete';
  }

  /** Reads from `at` on. @returns where it stopped: before the end of the bytes only when there is no more to read */
  read(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && this.state === 'incomplete' && !this.#kept.isTruncated) {
      at = this.#state === 'data' ? this.#readData(bytes, at) : this.#readLine(bytes, at);
    }
    return at;
  }

  #readData(bytes: Buffer, at: number): number {
    const to = Math.min(at + this.#remaining, bytes.length);
    this.#kept.append(bytes, at, to);
    this.#remaining -= to - at;
    if (this.#remaining === 0) this.#state = 'data end';
    return to;
  }

  #readLine(bytes: Buffer, at: number): number {
    const lf = bytes.indexOf(LF, at);
    const to = lf === -1 ? bytes.length : lf + 1;
    this.#linesLength += to - at;
    if (this.#linesLength > LONGEST_LINES) {
      this.#state = 'malformed';
      return to;
    }
    this.#line += bytes.toString('latin1', at, to);
    if (lf !== -1) {
      this.#state = this.#afterLine(this.#line);
      this.#line = '';
    }
    return to;
  }

  #afterLine(line: string): State {
    const isEmpty = line === '\r\n';
    if (this.#state === 'data end') return isEmpty ? 'size' : 'malformed';
    if (this.#state === 'trailers' && isEmpty) return 'complete';
    if (this.#state === 'trailers') return trailerLine.test(line) ? 'trailers' : 'malformed';
    const size = sizeLine.exec(line)?.[1];
    if (size === undefined) return 'malformed';
    this.#linesLength = 0;
    this.#remaining = Number.parseInt(size, 16);
    return this.#remaining === 0 ? 'trailers' : 'data';
  }
}
