import type { Command } from 'commander';
import { ALERT, SOME_ALERT } from '../alertArgument.ts';
import { type ChangeOptions, changeCommand, type DataOptions, listCommand, withExample } from '../command.ts';
import { count, print, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';

/** Alerts about one matter, and making them one piece of work. */
export function groupCommands(): Command[] {
  return [groups(), merge(), unmerge()];
}

function groups(): Command {
  const command = listCommand('groups', 'list groups of alerts about one matter that has something to decide').action(
    ({ json, dataDirectory, ...page }: DataOptions & { readonly limit: number; readonly cursor?: string }) =>
      answer(
        { json, dataDirectory },
        ({ compliance }) => compliance.listGroups(page),
        (found) =>
          printPage(
            found,
            [
              { title: 'GROUP', value: ({ id }) => id },
              { title: 'ALERTS', value: ({ alerts }) => alerts, align: 'right' },
              { title: 'UNDECIDED', value: ({ undecided }) => undecided, align: 'right' },
              { title: 'WORST', value: ({ worstSeverity }) => worstSeverity },
              { title: 'NEWEST', value: ({ newestAt }) => timeText(newestAt) },
              { title: 'CUSTOMERS', value: ({ customerIds }) => customerIds.join(', '), mayCut: true },
            ],
            'No groups.',
          ),
      ),
  );
  return withExample(command, 'alerts groups');
}

function merge(): Command {
  const command = changeCommand('merge', 'make undecided alerts one piece of work')
    .argument('<into>', 'the alert that is moved and assigned from now on')
    .argument('<others...>', 'those that follow it')
    .action((into: string, others: string[], { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        ({ compliance }) => compliance.merge(into, others, { actor }),
        ({ alertId, severity }) =>
          print(`${count(others.length, 'alert follows', 'alerts follow')} ${alertId}, which is ${severity}.`),
      ),
    );
  return withExample(command, `alerts merge ${SOME_ALERT} alert_0199f2c4a1b27d3e8c5f6a7b8c9d0e2a`);
}

function unmerge(): Command {
  const command = changeCommand('unmerge', 'make a merged alert a piece of work by itself again')
    .argument(...ALERT)
    .action((id: string, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        ({ compliance }) => compliance.unmerge(id, { actor }),
        ({ alertId, status }) => print(`${alertId} is worked on by itself, and ${status}.`),
      ),
    );
  return withExample(command, `alerts unmerge ${SOME_ALERT}`);
}
