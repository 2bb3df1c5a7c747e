import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject, onTestFinished } from 'vitest';
import { withDeadline } from './signals.ts';

/** The command line as a process of its own, which ends with the test at the latest. */

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
const fromAround = { PATH, HOME, NODE_COMPILE_CACHE };

/** A first start makes a database, which takes its time on busy cores. */
const DEADLINE_MS = 60_000;

export interface CliOptions {
  /** Directory it runs in. Default: an empty one. */
  readonly directory?: string;
  /** Settings; none of Moonguard's around the test reach it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
}

export interface CliExit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  /** The first line of standard output that fits, among those printed already and those to come. */
  untilLine(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  untilExit(): Promise<CliExit>;
}

/** Runs a command to its end. */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<CliExit> {
  return startCli(args, options).untilExit();
}

export function startCli(args: readonly string[], { directory, env = {}, input = '' }: CliOptions = {}): RunningCli {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: directory ?? temporaryDirectory(),
    env: { ...fromAround, ...env },
  });
  const output = { stdout: '', stderr: '' };
  let onOutput: (() => void) | undefined;
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      onOutput?.();
    });
  }
  child.stdin.on('error', () => {}); // it may not read it
  child.stdin.end(input);
  const command = `moonguard ${args.join(' ')}`;
  const explain = (what: string) => () => `${command}: ${what}\n${output.stdout}\n${output.stderr}`;

  const ended = new Promise<CliExit>((resolve) => {
    child.once('close', (code) => resolve({ code, ...output }));
  });
  const untilLine = async (pattern: RegExp): Promise<RegExpExecArray> => {
    const found = new Promise<RegExpExecArray>((resolve, reject) => {
      onOutput = () => {
        const match = new RegExp(pattern, 'm').exec(output.stdout);
        if (match !== null) resolve(match);
      };
      onOutput();
      void ended.then(() => reject(new Error(explain(`ended without a line like ${pattern}`)())));
    });
    return withDeadline(found, explain(`no line like ${pattern}`), DEADLINE_MS);
  };
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    untilLine,
    kill: (signal) => child.kill(signal),
    untilExit: () => withDeadline(ended, explain('did not end'), DEADLINE_MS),
  };
}

/** Removed when the test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'moonguard-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

/** A directory whose `data` holds a migrated embedded database, in a fraction of the time that making one takes. */
export function directoryWithDatabase(): string {
  const directory = temporaryDirectory();
  const database = join(directory, 'data', 'database');
  mkdirSync(database, { recursive: true, mode: 0o700 });
  execFileSync('tar', ['xf', inject('embeddedSnapshot'), '-C', database], { stdio: 'ignore' });
  return directory;
}
