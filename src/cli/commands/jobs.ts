import { Command } from 'commander';
import type { JobState } from '../../jobs/Jobs.ts';
import type { JobRun } from '../../jobs/runClaimedJob.ts';
import type { SequencerState } from '../../jobs/store/findSequencer.ts';
import type { Moonguard } from '../../moonguard.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { print, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';

export function jobsCommand(): Command {
  const jobs = new Command('jobs').description('what servers and workers do from time to time, each by one of them');
  jobs.addCommand(list(), { isDefault: true });
  for (const make of [run, pause, resume, schedule]) jobs.addCommand(make());
  return jobs;
}

const JOB = ['<job>', 'name of the job'] as const;

const columns: readonly Column<JobState>[] = [
  { title: 'JOB', value: ({ name }) => name },
  { title: 'EVERY', value: ({ everySeconds }) => durationText(everySeconds * 1000), align: 'right' },
  { title: 'LAST RUN', value: ({ lastStartedAt }) => timeText(lastStartedAt) },
  { title: 'TOOK', value: ({ lastDurationMs }) => durationText(lastDurationMs), align: 'right' },
  {
    title: 'RESULT',
    value: ({ lastStatus, lastResult, lastError }) => lastError ?? resultText(lastResult) ?? lastStatus,
  },
  { title: 'NEXT', value: nextText },
  { title: 'BY', value: ({ worker }) => worker },
];

function list(): Command {
  const command = readCommand('list', 'list the jobs: last run, result, next run, and who ran or runs them').action(
    (options: DataOptions) =>
      answer(
        options,
        async ({ jobs }) => ({ jobs: await jobs.list(), sequencer: await jobs.sequencer() }),
        (shown) => {
          printTable(shown.jobs, columns, 'No jobs.');
          print('', sequencerText(shown.sequencer));
        },
      ),
  );
  return withExample(command, 'jobs list');
}

function run(): Command {
  const command = readCommand('run', 'run a job now, be it due or not, paused or not')
    .argument(...JOB)
    .action(async (name: string, options: DataOptions) => {
      const onProgress = options.json ? undefined : (soFar: object) => print(`  ${resultText(soFar) ?? ''}`);
      const runJob = async ({ jobs }: Moonguard): Promise<JobRun> => {
        const done = await jobs.run(name, { onProgress });
        if (done.status !== 'done') process.exitCode = 1;
        return done;
      };
      await answer(options, runJob, printRun);
    });
  return withExample(command, 'jobs run partitions');
}

function printRun({ status, result, reason }: JobRun): void {
  print([status, reason, resultText(result)].filter((part) => part !== undefined).join(', '));
}

function pause(): Command {
  const command = changeCommand('pause', 'let no server or worker run a job until it is resumed')
    .argument(...JOB)
    .action((name: string, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        ({ jobs }) => jobs.pause(name, { actor }),
        () => print(`${name} is paused.`),
      ),
    );
  return withExample(command, 'jobs pause event_retention');
}

function resume(): Command {
  const command = readCommand('resume', 'let a job run again; what it missed comes within a minute')
    .argument(...JOB)
    .action((name: string, options: DataOptions) =>
      answer(
        options,
        ({ jobs }) => jobs.resume(name),
        () => print(`${name} runs again.`),
      ),
    );
  return withExample(command, 'jobs resume event_retention');
}

function schedule(): Command {
  const command = readCommand('schedule', 'say who runs the jobs whose work is one SQL function')
    .option('--pg-cron', 'the extension pg_cron of this database; the other jobs stay with servers and workers')
    .option('--no-pg-cron', 'servers and workers, like the others (as it is at the beginning)')
    .action(({ pgCron = false, ...options }: DataOptions & { readonly pgCron?: boolean }) =>
      answer(
        options,
        ({ jobs }) => jobs.schedule(pgCron ? 'pg_cron' : 'moonguard'),
        (names) => print(`${pgCron ? 'pg_cron runs' : 'Servers and workers run'} ${names.join(', ')}.`),
      ),
    );
  return withExample(command, 'jobs schedule --pg-cron', 'jobs schedule --no-pg-cron');
}

function nextText({ state, nextAt, pausedBy, isOnPgCron }: JobState): string | undefined {
  switch (state) {
    case 'running':
      return 'running now';
    case 'paused':
      return `paused by ${pausedBy}`;
    case 'late':
      return `${timeText(nextAt)}: late`;
    case 'waiting':
      return isOnPgCron ? 'by pg_cron' : timeText(nextAt);
  }
}

function sequencerText({ leader, lastCheckpointAt, waitingSeconds }: SequencerState): string {
  const last = lastCheckpointAt === null ? 'no checkpoint yet' : `last checkpoint ${timeText(lastCheckpointAt)}`;
  const waiting =
    waitingSeconds === null ? 'nothing waits' : `the oldest row waits for ${durationText(waitingSeconds * 1000)}`;
  return `The audit log is signed all the time, ${leader === null ? 'by nobody now' : `by ${leader}`}: ${last}, ${waiting}.`;
}

/** `events 3, attempts 7`; undefined when nothing was done. */
function resultText(result: object | null): string | undefined {
  const parts = Object.entries(result ?? {}).filter(([, value]) => value !== 0);
  return parts.length === 0 ? undefined : parts.map(([name, value]) => `${name} ${value}`).join(', ');
}

function durationText(ms: number | null): string | undefined {
  if (ms === null) return undefined;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const [unit, length] = units.find(([, each]) => ms >= each) ?? ['s', 1_000];
  return `${Math.round((ms / length) * 10) / 10} ${unit}`;
}
