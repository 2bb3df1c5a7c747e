const nothing = Buffer.alloc(0);

/** The beginning of a body, in a copy. */
export class KeptBody {
  readonly #most: number;
  readonly #parts: Buffer[] = [];
  #length = 0;
  #isTruncated = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** There was more than there is room for. */
  get isTruncated(): boolean {
    return this.#isTruncated;
  }

  get bytes(): Buffer {
    const [first = nothing, ...others] = this.#parts;
    return others.length === 0 ? first : Buffer.concat(this.#parts);
  }

  append(bytes: Buffer, from: number, to: number): void {
    const length = Math.min(to - from, this.#most - this.#length);
    this.#isTruncated ||= length < to - from;
    if (length === 0) return;
    const part = Buffer.allocUnsafe(length);
    bytes.copy(part, 0, from, from + length);
    this.#parts.push(part);
    this.#length += length;
  }
}
