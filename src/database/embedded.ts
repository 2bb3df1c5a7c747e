import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite, type PGliteOptions } from '@electric-sql/pglite';
import { Kysely, PGliteDialect } from 'kysely';
import type { Database, Db } from './database.ts';
import { lockDirectory } from './directoryLock.ts';
import { embeddedListen } from './listen.ts';
import { parsers } from './parsers.ts';
import { runTransaction } from './transaction.ts';

/**
 * A database in a directory, or in memory, without a server. It runs with fsync off: what was acknowledged survives the
 * end of the process (kill -9 too), not a loss of power.
 */
export interface EmbeddedOptions {
  /** Made when missing. Holds the database and its lock. */
  readonly dataDirectory: string;
}

export interface InMemoryOptions {
  readonly inMemory: true;
  /** A database saved by `dumpDataDir()`: starts in a quarter of the time that an empty one takes. */
  readonly loadDataDir?: Blob;
}

/** @throws MoonguardError `database_locked` when another process has the directory open. */
export async function openEmbedded(options: EmbeddedOptions, now: () => number): Promise<Database> {
  mkdirSync(options.dataDirectory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(options.dataDirectory, now);
  try {
    const pglite = await openDirectory(options.dataDirectory);
    return embeddedDatabase(pglite, () => lock.release());
  } catch (error) {
    lock.release();
    throw error;
  }
}

export async function openInMemory({ loadDataDir }: InMemoryOptions): Promise<Database> {
  return embeddedDatabase(await start(loadDataDir === undefined ? {} : { loadDataDir }), () => {});
}

/** The first start builds the database beside its place: killed half way, the next start begins anew. */
async function openDirectory(dataDirectory: string): Promise<PGlite> {
  const place = join(dataDirectory, 'database');
  if (!existsSync(place)) {
    const unfinished = `${place}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    await (await start({ dataDir: unfinished })).close();
    renameSync(unfinished, place);
  }
  return start({ dataDir: place });
}

function start(options: PGliteOptions): Promise<PGlite> {
  return PGlite.create({ ...options, parsers: { ...parsers } });
}

function embeddedDatabase(pglite: PGlite, onClosed: () => void): Database {
  const db: Db = new Kysely({ dialect: new PGliteDialect({ pglite }) });
  let closing: Promise<void> | undefined;
  return {
    kind: 'embedded',
    db,
    transaction: (work, within) => runTransaction(db, work, within),
    listen: embeddedListen(pglite),
    unhurried: (work) => work(),
    runScript: async (sqlText) => {
      await pglite.transaction((transaction) => transaction.exec(sqlText));
    },
    close: async () => {
      closing ??= pglite.close().finally(onClosed);
      await closing;
    },
  };
}
