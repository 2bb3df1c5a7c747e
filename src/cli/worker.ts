import { fork } from 'node:child_process';
import type { Config } from '../config.ts';
import { MoonguardError } from '../errors.ts';
import { createMoonguard } from '../moonguard.ts';
import { systemRuntime } from '../runtime.ts';
import { packageVersion } from './invocation.ts';
import { observeFor } from './narrate.ts';
import { count, print } from './output.ts';
import { Supervisor } from './Supervisor.ts';
import { moonguardOptions } from './session.ts';
import { stopInTime, untilSignal } from './shutdown.ts';

export interface WorkerOptions {
  readonly migrate: boolean;
}

/** Delivers, decides, replays and removes what is old, without receiving, until a signal ends it. */
export async function work(config: Config, { migrate }: WorkerOptions): Promise<void> {
  const ended = Promise.race([untilSignal(), untilAbandoned()]);
  const moonguard = await createMoonguard({ ...moonguardOptions(config), migrate, observe: observeFor(config) });
  await moonguard.start();
  print(`Worker ${process.pid} is ready.`);
  await ended;
  await stopInTime(() => moonguard.stop());
  print(`Worker ${process.pid} has stopped.`);
  // The channel to the process that started it would keep it going.
  if (process.connected) process.disconnect();
}

/**
 * The same in several processes, which share the work through the database.
 * @throws MoonguardError database_serves_one_process on the embedded database
 */
export async function workInProcesses(config: Config, processes: number, options: WorkerOptions): Promise<void> {
  if (config.databaseUrl === undefined) {
    throw new MoonguardError(
      'database_serves_one_process',
      `${processes} processes cannot share the embedded database.`,
    );
  }
  // Once for all of them: what is wrong is told here, and migrations and a new master key are made before anybody else.
  const moonguard = await createMoonguard({ ...moonguardOptions(config), ...options, observe: observeFor(config) });
  await moonguard.stop();
  const supervisor = new Supervisor({
    processes,
    fork: () => fork(...workerProcess(config)),
    observe: observeFor(config),
    runtime: systemRuntime,
  });
  const signal = untilSignal();
  process.once('exit', () => supervisor.kill());
  supervisor.start();
  print(`Moonguard ${packageVersion()} works in ${count(processes, 'process', 'processes')}. Ctrl-C stops.`);
  await signal;
  print('Stopping: finishing what is under way.');
  if (!(await supervisor.stop())) process.exitCode = 1;
  print('Stopped.');
}

/** This program again, as one worker. */
function workerProcess({ dataDirectory }: Config): [program: string, args: string[]] {
  const program = process.argv[1];
  if (program === undefined) throw new Error('there is no program to start again');
  return [program, ['worker', '--no-migrate', '--data-directory', dataDirectory]];
}

/** Whoever started this process is gone: nobody would end it any more. */
function untilAbandoned(): Promise<void> {
  return new Promise((resolve) => process.once('disconnect', resolve));
}
