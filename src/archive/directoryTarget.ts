import { mkdir, open, readdir, rename } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { MoonguardError } from '../errors.ts';
import type { ArchiveTarget, FileToPut, ReadableFile } from './target.ts';

const STAGING = '.unfinished';

/** Archives in a directory. */
export class DirectoryTarget implements ArchiveTarget {
  readonly name: string;
  readonly stagingDirectory: string;

  constructor(directory: string) {
    this.name = directory;
    // In the same file system: a file gets its place at once, or not at all.
    this.stagingDirectory = join(directory, STAGING);
  }

  async put({ name, path }: FileToPut): Promise<void> {
    const place = join(this.name, name);
    await this.#attempt(async () => {
      await mkdir(dirname(place), { recursive: true, mode: 0o700 });
      await rename(path, place);
      await syncDirectory(dirname(place));
    });
  }

  async open(name: string): Promise<ReadableFile | undefined> {
    const path = join(this.name, name);
    return this.#attempt(async () => {
      const file = await open(path).catch(absent);
      if (file === undefined) return undefined;
      const { size } = await file.stat();
      await file.close();
      return { byteLength: size, slice: (start, end = size) => this.#attempt(() => readSlice(path, start, end)) };
    });
  }

  async list(): Promise<string[]> {
    return this.#attempt(async () => {
      const entries = await readdir(this.name, { recursive: true, withFileTypes: true }).catch(absent);
      return (entries ?? [])
        .filter((entry) => entry.isFile())
        .map((entry) => relative(this.name, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
        .filter((name) => !name.startsWith(`${STAGING}/`))
        .toSorted();
    });
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof MoonguardError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new MoonguardError('archive_target_failed', `${this.name}: ${reason}`, { cause });
    }
  }
}

async function readSlice(path: string, start: number, end: number): Promise<ArrayBuffer> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(Math.max(0, end - start));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    return bytes.buffer.slice(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The name of a renamed file survives the loss of power only when its directory was written out. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function absent(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
