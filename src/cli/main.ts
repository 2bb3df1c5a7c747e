#!/usr/bin/env node
import { CommanderError } from 'commander';
import { errorLines } from './errorText.ts';
import { createProgram } from './program.ts';

/** 0: done. 1: refused or failed. 2: the command line was wrong. */
async function main(): Promise<number> {
  try {
    await createProgram().parseAsync();
    return 0;
  } catch (error) {
    // Commander has said what is wrong, or printed the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    for (const line of errorLines(error)) console.error(line);
    return 1;
  }
}

// The reader of a pipe may stop before the end: `moonguard alerts list | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
const exitCode = await main();
process.exitCode ??= exitCode;
