import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessorTime } from './rounds.ts';

/** Linux counts processor time of other processes in hundredths of a second. */
const MS_PER_TICK = 10;

/**
 * Begins to count processor time. What it returns gives the time since then, per 1,000 of `count`.
 *
 * The database's processes are those whose title names `databaseName`, as PostgreSQL's connections do, and their parent
 * with all its other children (the writers, the autovacuum).
 * @param redisProcessId of the Redis that takes part, when one does
 */
export function startProcessorClock(
  databaseName: string | undefined,
  redisProcessId?: number,
): (count: number) => ProcessorTime {
  const ownBefore = process.cpuUsage();
  const databaseBefore = databaseTime(databaseName);
  const redisBefore = redisTime(redisProcessId);
  return (count) => {
    const own = process.cpuUsage(ownBefore);
    const perThousand = (before: number | undefined, after: number | undefined): number | undefined =>
      before === undefined || after === undefined ? undefined : ((after - before) / count) * 1_000;
    return {
      process: (own.user + own.system) / count,
      database: perThousand(databaseBefore, databaseTime(databaseName)),
      redis: perThousand(redisBefore, redisTime(redisProcessId)),
    };
  };
}

interface RunningProcess {
  readonly id: number;
  readonly parentId: number;
  /** Milliseconds, its own and that of its children that have ended. */
  readonly time: number;
  readonly title: string;
}

function databaseTime(databaseName: string | undefined): number | undefined {
  if (databaseName === undefined || process.platform !== 'linux') return undefined;
  const all = runningProcesses();
  const connection = all.find(({ title }) => title.startsWith('postgres:') && title.includes(databaseName));
  if (connection === undefined) return undefined;
  return all
    .filter(({ id, parentId }) => id === connection.parentId || parentId === connection.parentId)
    .reduce((sum, { time }) => sum + time, 0);
}

function redisTime(processId: number | undefined): number | undefined {
  return processId === undefined || process.platform !== 'linux' ? undefined : readProcess(String(processId))?.time;
}

function runningProcesses(): RunningProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(name) ?? []);
}

function readProcess(id: string): RunningProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'latin1');
    // After the name in brackets: state, parent, …; processor time stands at 11 to 14.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    const title = readFileSync(`/proc/${id}/cmdline`, 'utf8');
    return { id: Number(id), parentId: Number(fields[1]), time: ticks * MS_PER_TICK, title };
  } catch {
    return undefined; // it has ended since the listing
  }
}
