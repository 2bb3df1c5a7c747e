import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { ByteSink } from './parquetFile.ts';

/** A file as the manifest names it. */
export interface FileFacts {
  readonly bytes: number;
  /** Hex digits. */
  readonly sha256: string;
}

/** A file on this machine on its way into an archive; hashed while it is written. */
export class StagedFile implements ByteSink {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<StagedFile> {
    return new StagedFile(path, await open(path, 'w', 0o600));
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    await this.#file.writeFile(bytes);
  }

  /** Nothing is said to be written before it is on the disk. */
  async finish(): Promise<FileFacts> {
    await this.#file.sync();
    await this.#file.close();
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Of one that may not be finished. */
  async close(): Promise<void> {
    await this.#file.close();
  }
}
