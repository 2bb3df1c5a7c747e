import { Command, Option } from 'commander';
import { type Alert, alertTypes, riskLevels, severities } from '../../compliance/alert.ts';
import { type AlertOrder, alertOrders } from '../../compliance/alertFilter.ts';
import type { NewAlertInput } from '../../compliance/alertInput.ts';
import { type AlertFilterOptions, alertFilterOf, withAlertFilter } from '../alertFilterOptions.ts';
import { type ChangeOptions, changeCommand, type DataOptions, listCommand, withExample } from '../command.ts';
import { integer, json, list, time } from '../optionValues.ts';
import { printFields, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';
import { deadlinesCommand, holidaysCommand } from './alertDeadlines.ts';
import { groupCommands } from './alertGroups.ts';
import { noteCommands } from './alertNotes.ts';
import { peopleCommand, queuesCommand } from './alertQueues.ts';
import { settingsCommand, templatesCommand } from './alertSettings.ts';
import { showCommand } from './alertShow.ts';
import { statisticsCommand } from './alertStatistics.ts';
import { suppressionsCommand } from './alertSuppressions.ts';
import { watchCommand } from './alertWatch.ts';
import { workflowCommands } from './alertWorkflow.ts';

export function alertsCommand(): Command {
  const alerts = new Command('alerts').description('findings that somebody must work on');
  alerts.commandsGroup('Alerts:');
  for (const make of [listAll, watchCommand, showCommand, create, statisticsCommand]) alerts.addCommand(make());
  alerts.commandsGroup('Workflow:');
  for (const command of [...workflowCommands(), ...noteCommands(), ...groupCommands()]) alerts.addCommand(command);
  alerts.commandsGroup('Organisation:');
  const settings = [settingsCommand, deadlinesCommand, holidaysCommand, templatesCommand];
  for (const make of [suppressionsCommand, queuesCommand, peopleCommand, ...settings]) alerts.addCommand(make());
  return alerts;
}

export const alertColumns: readonly Column<Alert>[] = [
  { title: 'ALERT', value: ({ alertId }) => alertId },
  { title: 'SEVERITY', value: ({ severity }) => severity },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'TYPE', value: ({ alertType }) => alertType },
  { title: 'HITS', value: ({ occurrenceCount }) => occurrenceCount, align: 'right' },
  { title: 'TRIGGERED', value: ({ triggeredAt }) => timeText(triggeredAt) },
  { title: 'ASSIGNED TO', value: ({ assignedTo }) => assignedTo, mayCut: true },
  { title: 'TITLE', value: ({ title }) => title, mayCut: true },
];

type AlertListOptions = DataOptions &
  AlertFilterOptions & {
    readonly limit: number;
    readonly cursor?: string;
    readonly search?: string;
    readonly sort?: AlertOrder;
  };

function listAll(): Command {
  const command = withAlertFilter(listCommand('list', 'list alerts, the newest first'))
    .option('--search <words>', 'only with words that begin like these in title, description or notes')
    .addOption(
      new Option('--sort <order>', 'raised: by when it was raised; due: what is to be decided next comes first')
        .choices(alertOrders)
        .conflicts('search'),
    )
    .action(({ json: asJson, dataDirectory, search, ...given }: AlertListOptions) => {
      const filter = alertFilterOf(given);
      return answer(
        { json: asJson, dataDirectory },
        ({ compliance }) =>
          search === undefined ? compliance.listAlerts(filter) : compliance.searchAlerts(search, filter),
        (page) => printPage(page, alertColumns, 'No alerts.'),
      );
    });
  return withExample(
    command,
    'alerts list --status open escalated --severity high critical',
    'alerts list --unassigned --sort due',
  );
}

function create(): Command {
  const command = changeCommand('create', 'raise an alert by hand')
    .addOption(new Option('--alert-type <type>', 'what it is').choices(alertTypes).makeOptionMandatory())
    .addOption(new Option('--severity <severity>', 'how bad it is').choices(severities).makeOptionMandatory())
    .requiredOption('--title <text>', 'one line for the list')
    .option('--description <text>', 'what was seen')
    .option('--customer-id <id>', "MoonPay's id of the customer, or yours")
    .option('--transaction-id <id>', 'the transaction')
    .option('--wallet-address <address>', 'the wallet')
    .option('--correlation-id <id>', 'the same for all that belongs to one matter')
    .option('--dedupe-key <key>', 'while an alert with it is not decided, this is a further hit on that one')
    .option('--risk-score <number>', '0 to 100', integer)
    .addOption(new Option('--risk-level <level>', 'default: from the score').choices(riskLevels))
    .option('--recommended-actions <actions>', 'comma-separated', list)
    .option('--assigned-to <who>', 'who works on it')
    .option('--due-at <time>', 'by when it must be decided', time)
    .option('--details <json>', 'an object', json)
    .option('--metadata <json>', 'an object of yours', json)
    .action(({ json: asJson, dataDirectory, as: actor, ...input }: ChangeOptions & NewAlertInput) =>
      answer(
        { json: asJson, dataDirectory },
        ({ compliance }) => compliance.createAlert(input, { actor }),
        printFields,
      ),
    );
  return withExample(
    command,
    'alerts create --alert-type aml_screening --severity high --customer-id customer_123 --risk-score 85 --title "High Risk Customer Detected"',
  );
}
