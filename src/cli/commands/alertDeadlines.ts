import { Argument, Command } from 'commander';
import { type Severity, severities } from '../../compliance/alert.ts';
import type { AlertDeadline, Holiday } from '../../compliance/deadline.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { integer } from '../optionValues.ts';
import { print, printTable } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';

const SEVERITY = ['<severity>', 'of which alerts'] as const;

const columns: readonly Column<AlertDeadline>[] = [
  { title: 'SEVERITY', value: ({ severity }) => severity },
  { title: 'MINUTES', value: ({ minutes }) => minutes, align: 'right' },
  { title: 'COUNTED', value: ({ inBusinessHours }) => (inBusinessHours ? 'business hours' : 'round the clock') },
  { title: 'WARNING BEFORE', value: ({ warnBeforeMinutes }) => warnBeforeMinutes, align: 'right' },
  { title: 'ESCALATED TO', value: ({ escalateTo }) => escalateTo },
];

export function deadlinesCommand(): Command {
  const deadlines = new Command('deadlines').description('by when alerts must be decided, and to whom they go if not');
  for (const make of [listAll, set, remove]) deadlines.addCommand(make());
  return deadlines;
}

function listAll(): Command {
  const command = readCommand('list', 'list the deadline of each severity').action((options: DataOptions) =>
    answer(
      options,
      ({ compliance }) => compliance.deadlines.list(),
      (deadlines) => printTable(deadlines, columns, 'No severity has a deadline.'),
    ),
  );
  return withExample(command, 'alerts deadlines list');
}

interface SetOptions extends ChangeOptions {
  readonly minutes?: number;
  readonly businessHours?: true;
  readonly roundTheClock?: true;
  readonly warnBefore?: number;
  readonly escalateTo?: string;
  readonly escalate?: false;
}

function set(): Command {
  const command = changeCommand('set', 'change the deadline of new alerts of a severity; what is not given stays')
    .addArgument(new Argument(...SEVERITY).choices(severities))
    .option('--minutes <number>', 'from the first hit, the last hit, or being reopened', integer)
    .option('--business-hours', 'only minutes of business hours count')
    .option('--round-the-clock', 'every minute counts')
    .option('--warn-before <minutes>', 'how long before it somebody is told; 0: nobody', integer)
    .option('--escalate-to <who>', 'to whom alerts go that nobody decided in time')
    .option('--no-escalate', 'they stay where they are')
    .action((severity: Severity, options: SetOptions, self: Command) => {
      const { as: actor, minutes, businessHours, roundTheClock, warnBefore, escalateTo, escalate } = options;
      if (businessHours && roundTheClock) self.error('error: --business-hours or --round-the-clock, not both');
      const changes = {
        minutes,
        inBusinessHours: businessHours ?? (roundTheClock ? false : undefined),
        warnBeforeMinutes: warnBefore,
        escalateTo: escalate === false ? null : escalateTo,
      };
      return answer(
        options,
        ({ compliance }) => compliance.deadlines.put(severity, changes, { actor }),
        (deadline) => printTable([deadline], columns, ''),
      );
    });
  return withExample(
    command,
    'alerts deadlines set high --escalate-to head-of-compliance',
    'alerts deadlines set critical --minutes 120 --round-the-clock --warn-before 30',
  );
}

function remove(): Command {
  const command = changeCommand('remove', 'give new alerts of a severity no deadline')
    .addArgument(new Argument(...SEVERITY).choices(severities))
    .action((severity: Severity, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        async ({ compliance }) => ({ removed: await compliance.deadlines.remove(severity, { actor }) }),
        () => print(`New ${severity} alerts have no deadline.`),
      ),
    );
  return withExample(command, 'alerts deadlines remove low');
}

export function holidaysCommand(): Command {
  const holidays = new Command('holidays').description('days without business hours');
  for (const make of [listHolidays, addHoliday, removeHoliday]) holidays.addCommand(make());
  return holidays;
}

function listHolidays(): Command {
  const command = readCommand('list', 'list them').action((options: DataOptions) =>
    answer(
      options,
      ({ compliance }) => compliance.deadlines.listHolidays(),
      (holidays) =>
        printTable(
          holidays,
          [
            { title: 'DAY', value: ({ day }) => day },
            { title: 'NAME', value: ({ name }) => name },
          ],
          'No holidays.',
        ),
    ),
  );
  return withExample(command, 'alerts holidays list');
}

function addHoliday(): Command {
  const command = changeCommand('add', 'add a holiday')
    .argument('<day>', 'such as 2026-12-25')
    .argument('<name>', 'what it is')
    .action((day: string, name: string, { as: actor, ...options }: ChangeOptions) =>
      answer<Holiday>(
        options,
        async ({ compliance }) => {
          await compliance.deadlines.putHoliday({ day, name }, { actor });
          return { day, name };
        },
        () => print(`${day} is ${name}.`),
      ),
    );
  return withExample(command, 'alerts holidays add 2026-12-25 "Christmas Day"');
}

function removeHoliday(): Command {
  const command = changeCommand('remove', 'make a holiday a day like any other')
    .argument('<day>', 'such as 2026-12-25')
    .action((day: string, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        async ({ compliance }) => ({ removed: await compliance.deadlines.removeHoliday(day, { actor }) }),
        ({ removed }) => print(removed ? `${day} is a day like any other.` : `${day} was no holiday.`),
      ),
    );
  return withExample(command, 'alerts holidays remove 2026-12-25');
}
