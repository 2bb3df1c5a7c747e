import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';

/**
 * A secret that somebody types or pipes in: as an argument it would stand in the shell's history and in the list of
 * processes.
 */
export async function readSecret(prompt: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).trim();
  process.stderr.write(prompt);
  // Readline echoes into a stream that throws everything away.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return (await terminal.question('')).trim();
  } catch (error) {
    // Ctrl-C or Ctrl-D: nothing has begun.
    if (error instanceof Error && error.name === 'AbortError') process.exit(130);
    throw error;
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}
