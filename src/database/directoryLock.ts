import { readFileSync, rmSync, statSync, utimes, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import { isGone, startTimeOf } from './processIdentity.ts';

/** The holder touches the lock this often; another host's lock that was not touched for STALE_MS is left over. */
const REFRESH_MS = 5_000;
const STALE_MS = 30_000;

const holderSchema = z.object({ pid: z.int().positive(), host: z.string(), processStartTime: z.string() });
type Holder = z.infer<typeof holderSchema>;

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock of an embedded data directory. PGlite itself lets a second process open the directory, and the two then
 * ruin it.
 *
 * A lock of this host is left over when its process is gone, so a restart after kill -9 works at once. The processes of
 * another host (another container) cannot be asked: its lock is left over when nobody refreshed it for 30 seconds.
 *
 * @param now milliseconds since 1970
 * @throws MoonguardError `database_locked` when another process, or this one, holds it.
 */
export function lockDirectory(directory: string, now: () => number): DirectoryLock {
  const path = join(directory, 'moonguard.lock');
  const self: Holder = { pid: process.pid, host: hostname(), processStartTime: startTimeOf(process.pid) };

  if (!createExclusively(path, self)) replaceLeftOver(path, self, now);

  const refresh = setInterval(() => {
    const seconds = now() / 1000;
    utimes(path, seconds, seconds, () => {});
  }, REFRESH_MS).unref();
  return {
    release: () => {
      clearInterval(refresh);
      const holder = readHolder(path);
      if (holder?.pid === self.pid && holder.processStartTime === self.processStartTime) rmSync(path, { force: true });
    },
  };
}

/**
 * One process at a time replaces a left-over lock, and looks at it again once it is the one: otherwise the second of two
 * starters would remove the new lock of the first in the belief that it is the old one.
 */
function replaceLeftOver(path: string, self: Holder, now: () => number): void {
  const turn = `${path}.takeover`;
  if (isLeftOver(turn, self, now())) rmSync(turn, { force: true });
  if (!createExclusively(turn, self)) throw locked(turn);
  try {
    if (!isLeftOver(path, self, now())) throw locked(path);
    rmSync(path, { force: true });
    if (!createExclusively(path, self)) throw locked(path);
  } finally {
    rmSync(turn, { force: true });
  }
}

function createExclusively(path: string, self: Holder): boolean {
  try {
    writeFileSync(path, `${JSON.stringify(self)}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function isLeftOver(path: string, self: Holder, now: number): boolean {
  const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  if (touched === undefined) return true;
  const holder = readHolder(path);
  return holder?.host === self.host ? isGone(holder.pid, holder.processStartTime) : now - touched > STALE_MS;
}

/** Undefined when the file has gone, or holds nothing yet: its maker may be about to write it. */
function readHolder(path: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

function locked(path: string): MoonguardError {
  const holder = readHolder(path);
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  return new MoonguardError('database_locked', `The data directory is in use by ${who} (${path}).`);
}
