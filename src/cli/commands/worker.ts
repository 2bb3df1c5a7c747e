import { Command } from 'commander';
import { dataDirectoryOption, withExample } from '../command.ts';
import { count, port } from '../optionValues.ts';
import { configOf } from '../session.ts';

interface WorkerCommandOptions {
  readonly processes: number;
  readonly dataDirectory?: string;
  readonly migrate: boolean;
  readonly metricsPort?: number;
}

export function workerCommand(): Command {
  const command = new Command('worker')
    .description('deliver and decide without receiving, until Ctrl-C; beside servers that only receive')
    .option(
      '--processes <number>',
      'in as many processes, which share the work; one that ends is started again',
      count,
      1,
    )
    .addOption(dataDirectoryOption())
    .option('--metrics-port <number>', 'serve metrics on this port, for the token MOONGUARD_METRICS_TOKEN', port)
    .option('--no-migrate', 'refuse to start when the database is not up to date, instead of bringing it up to date')
    .action(async ({ processes, migrate, metricsPort, dataDirectory }: WorkerCommandOptions) => {
      const { work, workInProcesses } = await import('../worker.ts');
      const config = configOf({ dataDirectory });
      if (processes === 1) await work(config, { migrate, metricsPort });
      else await workInProcesses(config, processes, { migrate, metricsPort });
    });
  return withExample(command, 'worker', 'worker --processes 4');
}
