import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockDirectory } from './directoryLock.ts';
import { startTimeOf } from './processIdentity.ts';

const NOW = Date.UTC(2026, 0, 1);
const contenderScript = fileURLToPath(new URL('../../test/support/lockContender.ts', import.meta.url));

let directory: string;
let contenders: ChildProcess[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'moonguard-lock-'));
  contenders = [];
});

afterEach(async () => {
  await Promise.all(contenders.filter((contender) => contender.exitCode === null && !contender.killed).map(kill));
  rmSync(directory, { recursive: true });
});

test('names the process that holds it', async () => {
  const holder = startContender();
  expect(await holder.take(directory)).toBe('held');

  expect(lock).toThrowError(
    expect.objectContaining({ code: 'database_locked', message: expect.stringContaining(`process ${holder.pid} on`) }),
  );
});

test('refuses the process that holds it already', () => {
  const held = lock();
  expect(lock).toThrowError(expect.objectContaining({ code: 'database_locked' }));

  held.release();
  lock().release();
});

test('passes on at once when the holder was killed', async () => {
  const holder = startContender();
  await holder.take(directory);
  await kill(holder.process);

  lock().release();
});

test.each([
  ['a process that runs no more', { pid: 4_194_304 }],
  ['an earlier process with our pid', { processStartTime: '1' }],
  ['an earlier process with the pid of another', { pid: process.ppid, processStartTime: '1' }],
])('takes over from %s', (_, holder) => {
  writeLock(holder);
  lock().release();
});

test('believes another host for 30 seconds after its last refresh', () => {
  writeLock({ host: 'another', pid: 1 }, { touched: NOW - 29_000 });
  expect(lock).toThrowError(
    expect.objectContaining({ code: 'database_locked', message: expect.stringContaining('process 1 on another') }),
  );

  writeLock({ host: 'another', pid: 1 }, { touched: NOW - 31_000 });
  lock().release();
});

test('believes a file without content, which somebody may be about to write', () => {
  writeFileSync(lockFile(), '');
  utimesSync(lockFile(), NOW / 1000, NOW / 1000);
  expect(lock).toThrowError(expect.objectContaining({ code: 'database_locked' }));

  utimesSync(lockFile(), (NOW - 31_000) / 1000, (NOW - 31_000) / 1000);
  lock().release();
});

test('leaves the lock of a successor alone when it is released late', () => {
  const held = lock();
  writeLock({ host: 'another', pid: 1 }, { number: 2 });
  held.release();

  expect(lock).toThrowError(expect.objectContaining({ message: expect.stringContaining('process 1 on another') }));
});

test('goes to exactly one of several that find a left-over lock', async () => {
  const rivals = Array.from({ length: 4 }, startContender);
  for (let round = 0; round < 50; round++) {
    const place = mkdtempSync(join(directory, 'round-'));
    writeLock({ pid: 4_194_304 }, { place });
    const outcomes = await Promise.all(rivals.map((rival) => rival.take(place)));
    expect(outcomes.toSorted()).toEqual(['database_locked', 'database_locked', 'database_locked', 'held']);
  }
});

function lock() {
  return lockDirectory(directory, () => NOW);
}

function lockFile({ place = directory, number = 1 } = {}): string {
  return join(place, `moonguard.lock.${number}`);
}

function writeLock(
  holder: { pid?: number; host?: string; processStartTime?: string },
  { touched = NOW, ...file }: { touched?: number; place?: string; number?: number } = {},
): void {
  const self = { pid: process.pid, host: hostname(), processStartTime: startTimeOf(process.pid) };
  writeFileSync(lockFile(file), JSON.stringify({ ...self, ...holder }));
  utimesSync(lockFile(file), touched / 1000, touched / 1000);
}

/** Another process; `take` resolves to `held` or to the code of the error. */
function startContender() {
  const contender = spawn(process.execPath, [contenderScript], { stdio: ['pipe', 'pipe', 'inherit'] });
  contenders.push(contender);
  const lines = createInterface({ input: contender.stdout })[Symbol.asyncIterator]();
  return {
    pid: contender.pid,
    process: contender,
    take: async (place: string): Promise<string> => {
      contender.stdin.write(`${place}\n`);
      return (await lines.next()).value ?? 'no answer';
    },
  };
}

async function kill(contender: ChildProcess): Promise<void> {
  const exit = once(contender, 'exit');
  contender.kill('SIGKILL');
  await exit;
}
