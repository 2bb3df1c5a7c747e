import { spawnSync } from 'node:child_process';

/** The words that a shell makes of a line: a test can say what somebody would type. */
export function shellWords(line: string): string[] {
  const { stdout } = spawnSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' });
  return stdout.split('\n').slice(0, -1);
}
