import { Command, Option } from 'commander';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count } from '../optionValues.ts';
import { printFields } from '../output.ts';
import { answer } from '../session.ts';

export function settingsCommand(): Command {
  const settings = new Command('settings').description('who publishes, and how long approvals wait');
  for (const make of [show, set]) settings.addCommand(make());
  return settings;
}

function show(): Command {
  const command = readCommand('show', 'show how policies are changed').action((options: DataOptions) =>
    answer(options, ({ policies }) => policies.settings.get(), printFields),
  );
  return withExample(command, 'policies settings show');
}

interface SetOptions extends ChangeOptions {
  readonly fourEyes?: 'on' | 'off';
  readonly approvalHours?: number;
}

function set(): Command {
  const command = changeCommand('set', 'change how policies are changed; what is not given stays')
    .addOption(
      new Option('--four-eyes <state>', 'on: another person publishes than the one who saved').choices(['on', 'off']),
    )
    .option('--approval-hours <number>', 'how long an approval waits, and one that was granted holds', count)
    .action(({ as: actor, fourEyes, approvalHours, ...options }: SetOptions) =>
      answer(
        options,
        ({ policies }) =>
          policies.settings.update(
            { ...(fourEyes !== undefined && { fourEyes: fourEyes === 'on' }), approvalHours },
            { actor },
          ),
        printFields,
      ),
    );
  return withExample(command, 'policies settings set --four-eyes on');
}
