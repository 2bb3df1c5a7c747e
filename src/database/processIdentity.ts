import { readFileSync } from 'node:fs';

/**
 * When the process started, in a form that only serves to compare: a pid alone is used again, in a container usually by
 * the very next start. Where there is no /proc only our own start is known.
 */
export function startTimeOf(pid: number): string {
  return processStatus(pid)?.startTime ?? String(performance.timeOrigin);
}

/** Whether the process that had this pid and start time runs no more. */
export function isGone(pid: number, startTime: string): boolean {
  const status = processStatus(pid);
  if (status !== undefined) return status.isDead || status.startTime !== startTime;
  if (pid === process.pid) return startTimeOf(pid) !== startTime;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // EPERM: it runs, as another user.
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

/** From /proc/<pid>/stat, see proc_pid_stat(5): field 3 is the state, field 22 the start in clock ticks since boot. */
function processStatus(pid: number): { isDead: boolean; startTime: string } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // Field 2, the name in parentheses, may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = fields[22 - 3];
  return startTime === undefined ? undefined : { isDead: fields[0] === 'Z' || fields[0] === 'X', startTime };
}
