import type { Command } from 'commander';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { count as positive, time, timeOrAgo } from '../optionValues.ts';
import { count, print } from '../output.ts';
import { answer } from '../session.ts';
import { printable } from '../table.ts';

const SOME_DECISION = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

/** Commands on what policies decided. */
export function decisionCommands(): Command[] {
  return [explain(), replay()];
}

function explain(): Command {
  const command = readCommand('explain', 'say why a decision came out as it did')
    .argument('<decision>', 'id of the decision, or of the event that was decided on')
    .action((decisionId: string, options: DataOptions) =>
      answer(
        options,
        ({ policies }) => policies.explain(decisionId),
        ({ sentences }) => print(...sentences.map(printable)),
      ),
    );
  return withExample(command, `policies explain ${SOME_DECISION}`);
}

interface ReplayOptions extends DataOptions {
  readonly since?: Date;
  readonly until?: Date;
  readonly limit?: number;
}

function replay(): Command {
  const command = readCommand(
    'replay',
    'evaluate decisions again from what was recorded of them: each must come out the same',
  )
    .option('--since <time>', 'only those made at this time or later; 24h is a day ago', timeOrAgo)
    .option('--until <time>', 'only those made before this time', time)
    .option('--limit <number>', 'at most so many, the newest first', positive)
    .action(({ since: from, until: to, limit, ...options }: ReplayOptions) =>
      answer(
        options,
        ({ policies }) => policies.replayAll({ from, to, limit }),
        ({ replayed, equal, different }) => {
          print(`${count(replayed, 'decision', 'decisions')}, ${equal} the same.`);
          for (const { decisionId } of different) print(`differs: ${decisionId}`);
          if (different.length > 0) process.exitCode = 1;
        },
      ),
    );
  return withExample(command, 'policies replay --since 24h');
}
