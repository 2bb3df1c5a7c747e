import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { type AlertType, alertTypes, severities } from '../../compliance/alert.ts';
import type { SettingsChanges } from '../../compliance/settings.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count, integer, list } from '../optionValues.ts';
import { print, printFields, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';

export function settingsCommand(): Command {
  const settings = new Command('settings').description('four-eyes, risk bands, business hours, archive');
  for (const make of [show, set, changes]) settings.addCommand(make());
  return settings;
}

function show(): Command {
  const command = readCommand('show', 'show how alerts are worked on').action((options: DataOptions) =>
    answer(options, ({ compliance }) => compliance.settings.get(), printFields),
  );
  return withExample(command, 'alerts settings show');
}

function set(): Command {
  const command = changeCommand('set', 'change how alerts are worked on; what is not given stays')
    .option('--four-eyes <on|off>', 'whether a severe alert takes two persons', onOrOff)
    .addOption(new Option('--four-eyes-severities <severity...>', 'which alerts are severe').choices(severities))
    .option('--band-medium <score>', 'from this score on the risk level is medium', integer)
    .option('--band-high <score>', 'from this score on it is high', integer)
    .option('--band-extreme <score>', 'from this score on it is extreme', integer)
    .addOption(new Option('--severity-floor-high <severity>', 'least severity of a high risk').choices(severities))
    .addOption(
      new Option('--severity-floor-extreme <severity>', 'least severity of an extreme risk').choices(severities),
    )
    .option('--correlation-days <days>', 'how far apart alerts of one matter may be; 0: none are linked', integer)
    .option('--time-zone <name>', 'of the business hours, such as Europe/Vienna')
    .option('--business-days <days>', 'comma-separated, Monday is 1', days)
    .option('--opens-at <time>', 'when business hours begin, such as 09:00')
    .option('--closes-at <time>', 'when they end; 24:00 is the end of the day')
    .option('--archive-after-days <days>', 'how long after the decision', integer)
    .action(({ json, dataDirectory, as: actor, ...given }: ChangeOptions & SettingsChanges) =>
      answer({ json, dataDirectory }, ({ compliance }) => compliance.settings.update(given, { actor }), printFields),
    );
  return withExample(
    command,
    'alerts settings set --four-eyes on',
    'alerts settings set --time-zone Europe/Vienna --closes-at 18:00',
  );
}

function changes(): Command {
  const command = readCommand('changes', 'show who changed what of settings, deadlines, holidays, people and queues')
    .option('--limit <number>', 'how many, at most 200', count, 50)
    .action(({ limit, ...options }: DataOptions & { readonly limit: number }) =>
      answer(
        options,
        ({ compliance }) => compliance.settings.listChanges({ limit }),
        (rows) =>
          printTable(
            rows,
            [
              { title: 'AT', value: ({ at }) => timeText(at) },
              { title: 'WHO', value: ({ actor }) => actor },
              { title: 'BEFORE', value: ({ before }) => JSON.stringify(before), mayCut: true },
              { title: 'AFTER', value: ({ after }) => JSON.stringify(after), mayCut: true },
            ],
            'No changes.',
          ),
      ),
    );
  return withExample(command, 'alerts settings changes --limit 10');
}

/** What to do about alerts of a type, where whoever raises them does not say. */
export function templatesCommand(): Command {
  const templates = new Command('templates').description('recommended actions of each type of alert');
  for (const make of [listTemplates, setTemplate]) templates.addCommand(make());
  return templates;
}

function listTemplates(): Command {
  const command = readCommand('list', 'list what to do about each type of alert').action((options: DataOptions) =>
    answer(
      options,
      ({ compliance }) => compliance.settings.listTemplates(),
      (templates) => {
        for (const { alertType, recommendedActions } of templates) {
          print(alertType, ...recommendedActions.map((action) => `  - ${action}`));
        }
      },
    ),
  );
  return withExample(command, 'alerts templates list');
}

function setTemplate(): Command {
  const command = changeCommand('set', 'say anew what to do about new alerts of a type')
    .addArgument(new Argument('<type>', 'the type').choices(alertTypes))
    .argument('<action...>', 'all that is to be done, in order')
    .action((alertType: AlertType, actions: string[], { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        async ({ compliance }) => {
          await compliance.settings.putTemplate(alertType, actions, { actor });
          return { alertType, recommendedActions: actions };
        },
        () => print(`New alerts of type ${alertType} recommend it.`),
      ),
    );
  return withExample(
    command,
    'alerts templates set pep_screening "Confirm the office" "Let an officer approve the relationship"',
  );
}

function onOrOff(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError('It must be on or off.');
  return text === 'on';
}

function days(text: string): number[] {
  return list(text).map(integer);
}
