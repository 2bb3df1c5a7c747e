import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimes, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import { isGone, startTimeOf } from './processIdentity.ts';

/** The holder touches its file this often; a file of another host that was not touched for STALE_MS is left over. */
const REFRESH_MS = 5_000;
const STALE_MS = 30_000;

/** What the file holds once its holder has let go. */
const RELEASED = 'released\n';

const holderSchema = z.object({ pid: z.int().positive(), host: z.string(), processStartTime: z.string() });
type Holder = z.infer<typeof holderSchema>;

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock of an embedded data directory. PGlite itself lets a second process open the directory, and the two then
 * ruin it.
 *
 * Whoever made the file with the highest number, `moonguard.lock.<n>`, holds the lock. When it is left over, the next
 * holder makes number n + 1, which the file system allows to one only, and then removes the lower ones. The highest file
 * itself is never removed or written anew, because between looking at it and doing so it may have become somebody's.
 *
 * A file of this host is left over when its process is gone, so a restart after kill -9 works at once. The processes of
 * another host (another container) cannot be asked: its file is left over when nobody touched it for 30 seconds.
 *
 * @param now milliseconds since 1970
 * @throws MoonguardError `database_locked` when another process, or this one, holds it.
 */
export function lockDirectory(directory: string, now: () => number): DirectoryLock {
  const pathOf = (n: number): string => join(directory, `moonguard.lock.${n}`);
  const self: Holder = { pid: process.pid, host: hostname(), processStartTime: startTimeOf(process.pid) };

  const last = Math.max(0, ...lockNumbers(directory));
  if (last > 0 && !isLeftOver(pathOf(last), self, now())) throw locked(pathOf(last));
  const own = pathOf(last + 1);
  if (!createExclusively(own, self)) throw locked(own);
  // Others may have come and gone since we looked, and removed the file that kept us from making this one.
  const highest = Math.max(...lockNumbers(directory));
  if (highest > last + 1) {
    rmSync(own, { force: true });
    throw locked(pathOf(highest));
  }
  for (const number of lockNumbers(directory)) if (number <= last) rmSync(pathOf(number), { force: true });

  const refresh = setInterval(() => {
    const seconds = now() / 1000;
    utimes(own, seconds, seconds, () => {});
  }, REFRESH_MS).unref();
  return {
    release: () => {
      clearInterval(refresh);
      if (existsSync(own)) writeFileSync(own, RELEASED);
    },
  };
}

function lockNumbers(directory: string): number[] {
  return readdirSync(directory).flatMap((name) => Number(/^moonguard\.lock\.(\d+)$/.exec(name)?.[1] ?? []));
}

function createExclusively(path: string, self: Holder): boolean {
  try {
    writeFileSync(path, JSON.stringify(self), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** A file that has just gone was not left over: somebody took the lock after it. */
function isLeftOver(path: string, self: Holder, now: number): boolean {
  const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
  const content = contentOf(path);
  if (content === RELEASED) return true;
  const holder = parseHolder(content);
  return holder?.host === self.host ? isGone(holder.pid, holder.processStartTime) : now - touched > STALE_MS;
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Undefined when there is nothing yet: its maker may be about to write it. */
function parseHolder(content: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(content)).data;
  } catch {
    return undefined;
  }
}

function locked(path: string): MoonguardError {
  const holder = parseHolder(contentOf(path));
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  return new MoonguardError('database_locked', `The data directory is in use by ${who} (${path}).`);
}
