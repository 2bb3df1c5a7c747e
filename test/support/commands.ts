import { vi } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { shellWords } from './shellWords.ts';

/** The commands that work with data, in this process: cli.ts runs them as processes. */

/** What a command prints to standard output. */
export async function run(line: string): Promise<string> {
  let printed = '';
  const log = vi.spyOn(console, 'log').mockImplementation((printedLine: string) => {
    printed += `${printedLine}\n`;
  });
  try {
    await createProgram().parseAsync(shellWords(line), { from: 'user' });
  } finally {
    log.mockRestore();
  }
  return printed;
}

/** The one JSON document that a command prints with --json. */
export async function document(line: string): Promise<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(await run(`${line} --json`));
  if (typeof parsed !== 'object' || parsed === null) throw new Error('the command printed no JSON object');
  return { ...parsed };
}
