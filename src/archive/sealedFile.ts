import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { MoonguardError } from '../errors.ts';
import type { ByteSink } from './parquetFile.ts';
import type { ReadableFile } from './target.ts';

/**
 * An encrypted file: 16 random bytes, then pieces of 64 KiB, each under AES-256-GCM with its 16 bytes of tag. The key is
 * made from that of the archive and the random bytes, so no two files share one, be it that a file is written again. A
 * piece's nonce is its number and whether it is the last: none can be moved, left out or cut off.
 */
const SALT_BYTES = 16;
const PIECE_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const SEALED_BYTES = PIECE_BYTES + TAG_BYTES;
const CIPHER = 'aes-256-gcm';
export const ARCHIVE_KEY_BYTES = 32;

export class SealingSink implements ByteSink {
  readonly #sink: ByteSink;
  readonly #salt = randomBytes(SALT_BYTES);
  readonly #key: Uint8Array;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #pieces = 0;

  constructor(sink: ByteSink, archiveKey: Uint8Array) {
    this.#sink = sink;
    this.#key = keyOfFile(archiveKey, this.#salt);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(Uint8Array.from(bytes));
    this.#waitingBytes += bytes.length;
    // A full piece waits too: it may turn out to be the last.
    const full = Math.ceil(this.#waitingBytes / PIECE_BYTES) - 1;
    if (full < 1) return;
    const all = Buffer.concat(this.#waiting);
    for (let piece = 0; piece < full; piece++) {
      await this.#seal(all.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES), false);
    }
    this.#waiting = [all.subarray(full * PIECE_BYTES)];
    this.#waitingBytes -= full * PIECE_BYTES;
  }

  async finish(): Promise<void> {
    await this.#seal(Buffer.concat(this.#waiting), true);
  }

  async #seal(piece: Uint8Array, isLast: boolean): Promise<void> {
    if (this.#pieces === 0) await this.#sink.write(this.#salt);
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(this.#pieces++, isLast));
    await this.#sink.write(Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]));
  }
}

/** @throws MoonguardError archive_unreadable, from every read of what is not as it was sealed */
export async function openSealed(file: ReadableFile, archiveKey: Uint8Array): Promise<ReadableFile> {
  const key = keyOfFile(archiveKey, new Uint8Array(await file.slice(0, SALT_BYTES)));
  const pieces = Math.ceil((file.byteLength - SALT_BYTES) / SEALED_BYTES);
  if (pieces < 1) throw unreadable();
  const byteLength = file.byteLength - SALT_BYTES - pieces * TAG_BYTES;
  const openPiece = (sealed: Uint8Array, piece: number): Uint8Array => {
    const decipher = createDecipheriv(CIPHER, key, nonceOf(piece, piece === pieces - 1));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw unreadable(cause);
    }
  };
  return {
    byteLength,
    slice: async (start, end = byteLength) => {
      const first = Math.floor(start / PIECE_BYTES);
      const last = Math.min(Math.max(first, Math.ceil(end / PIECE_BYTES) - 1), pieces - 1);
      const from = SALT_BYTES + first * SEALED_BYTES;
      const to = Math.min(SALT_BYTES + (last + 1) * SEALED_BYTES, file.byteLength);
      const sealed = new Uint8Array(await file.slice(from, to));
      const opened = [];
      for (let piece = first; piece <= last; piece++) {
        const at = (piece - first) * SEALED_BYTES;
        opened.push(openPiece(sealed.subarray(at, at + SEALED_BYTES), piece));
      }
      const bytes = Buffer.concat(opened);
      return bytesOf(bytes.subarray(start - first * PIECE_BYTES, end - first * PIECE_BYTES));
    },
  };
}

/** In memory of their own, as readers of Parquet want it. */
function bytesOf(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function keyOfFile(archiveKey: Uint8Array, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', archiveKey, salt, 'moonguard/archive/v1', 32));
}

function nonceOf(piece: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(piece, 0);
  nonce.writeUInt8(isLast ? 1 : 0, 11);
  return nonce;
}

function unreadable(cause?: unknown): MoonguardError {
  const message = 'The file is not what was encrypted with the key of this archive.';
  return new MoonguardError('archive_unreadable', message, cause === undefined ? {} : { cause });
}
