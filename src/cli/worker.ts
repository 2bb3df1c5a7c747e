import { fork } from 'node:child_process';
import type { Config } from '../config.ts';
import { MoonguardError } from '../errors.ts';
import { type RunningServer, startMetricsServer } from '../http/server.ts';
import { createMoonguard, type Moonguard } from '../moonguard.ts';
import type { Metrics } from '../observe/metrics.ts';
import { systemRuntime } from '../runtime.ts';
import { packageVersion } from './invocation.ts';
import { countBeside, served } from './metrics.ts';
import { observeFor } from './narrate.ts';
import { count, print } from './output.ts';
import { Supervisor } from './Supervisor.ts';
import { moonguardOptions } from './session.ts';
import { stopInTime, untilSignal } from './shutdown.ts';
import { gatherMetrics, tellMetrics } from './workerMetrics.ts';

export interface WorkerOptions {
  readonly migrate: boolean;
  /** Where metrics are served; 0 lets the system choose. */
  readonly metricsPort: number | undefined;
}

/**
 * Delivers, decides, replays and removes what is old, without receiving, until a signal ends it.
 * @throws MoonguardError configuration_invalid when metrics are wanted and there is no token for them
 */
export async function work(config: Config, { migrate, metricsPort }: WorkerOptions): Promise<void> {
  const ended = Promise.race([untilSignal(), untilAbandoned()]);
  const { observe, metrics } = countBeside(
    observeFor(config),
    config,
    () => moonguard.deliveryQueue(),
    () => moonguard.audit.progress(),
  );
  const moonguard: Moonguard = await createMoonguard({ ...moonguardOptions(config), migrate, observe });
  let server: RunningServer | undefined;
  try {
    server = await serveMetrics(metrics, config, metricsPort);
    if (metrics !== undefined) tellMetrics(metrics);
    await moonguard.start();
    print(`Worker ${process.pid} is ready.`);
    await ended;
  } finally {
    await stopInTime(async () => {
      await server?.close();
      await moonguard.stop();
    });
    // The channel to the process that started it would keep it going.
    if (process.connected) process.disconnect();
  }
  print(`Worker ${process.pid} has stopped.`);
}

/**
 * The same in several processes, which share the work through the database.
 * @throws MoonguardError database_serves_one_process on the embedded database; configuration_invalid as above
 */
export async function workInProcesses(config: Config, processes: number, options: WorkerOptions): Promise<void> {
  const { migrate, metricsPort } = options;
  if (config.databaseUrl === undefined) {
    throw new MoonguardError(
      'database_serves_one_process',
      `${processes} processes cannot share the embedded database.`,
    );
  }
  const { observe, metrics } = countBeside(observeFor(config), config);
  // Once for all of them: what is wrong is told here, and migrations and a new master key are made before anybody else.
  const moonguard = await createMoonguard({ ...moonguardOptions(config), migrate, observe });
  await moonguard.stop();
  const supervisor = new Supervisor({
    processes,
    fork: () => fork(...workerProcess(config)),
    observe,
    runtime: systemRuntime,
  });
  const all = metrics && { read: () => gatherMetrics(supervisor.children, metrics) };
  const server = await serveMetrics(all, config, metricsPort);
  const signal = untilSignal();
  process.once('exit', () => supervisor.kill());
  supervisor.start();
  print(`Moonguard ${packageVersion()} works in ${count(processes, 'process', 'processes')}. Ctrl-C stops.`);
  await signal;
  print('Stopping: finishing what is under way.');
  if (!(await supervisor.stop())) process.exitCode = 1;
  await server?.close();
  print('Stopped.');
}

async function serveMetrics(
  metrics: Pick<Metrics, 'read'> | undefined,
  config: Config,
  port: number | undefined,
): Promise<RunningServer | undefined> {
  if (port === undefined) return undefined;
  const metricsToServe = served(metrics, config);
  if (metricsToServe === undefined) {
    throw new MoonguardError('configuration_invalid', '--metrics-port needs the setting MOONGUARD_METRICS_TOKEN.');
  }
  const server = await startMetricsServer(metricsToServe, { host: config.host, port });
  print(`Metrics at ${server.url}/metrics.`);
  return server;
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
