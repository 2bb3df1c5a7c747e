import { createInterface } from 'node:readline';
import { lockDirectory } from '../../src/database/directoryLock.ts';
import { MoonguardError } from '../../src/errors.ts';
import { systemRuntime } from '../../src/runtime.ts';

/** A process of its own for directoryLock.test.ts: takes the lock of each directory it reads a line with, and says so. */
for await (const directory of createInterface({ input: process.stdin })) {
  try {
    lockDirectory(directory, () => systemRuntime.now());
    console.log('held');
  } catch (error) {
    console.log(error instanceof MoonguardError ? error.code : String(error));
  }
}
