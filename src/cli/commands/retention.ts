import { Command } from 'commander';
import type { RetentionRun } from '../../retention/RetentionService.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { count, print } from '../output.ts';
import { answer } from '../session.ts';

export function retentionCommand(): Command {
  return new Command('retention')
    .description('removing old events, deliveries, attempts and bodies; servers and workers do it every hour')
    .addCommand(run());
}

function run(): Command {
  const command = readCommand('run', 'remove now what is past its days')
    .option('--dry-run', 'remove nothing; count what would go')
    .action(({ dryRun, ...options }: DataOptions & { readonly dryRun?: true }) =>
      answer(
        options,
        ({ retention }) => retention.run({ dryRun }),
        (result) => {
          print(`${dryRun ? 'Would go' : 'Gone'}: ${removedText(result)}.`);
          if (result.status === 'interrupted') print('Another process is at it, and removes the rest.');
        },
      ),
    );
  return withExample(command, 'retention run --dry-run');
}

function removedText({ events, deliveries, attempts, bodies }: RetentionRun): string {
  return [
    count(events, 'event', 'events'),
    count(deliveries, 'delivery', 'deliveries'),
    count(attempts, 'attempt', 'attempts'),
    `${count(bodies, 'body', 'bodies')} of events that stay`,
  ].join(', ');
}
