import { Command, Option } from 'commander';
import { type Alert, alertStatuses, alertTypes, riskLevels, severities } from '../../compliance/alert.ts';
import type { AlertFilterInput, NewAlertInput } from '../../compliance/alertInput.ts';
import type { TimelineEntry } from '../../compliance/timeline.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { integer, json, list, time } from '../optionValues.ts';
import { print, printFields, printPage, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';
import { workflowCommands } from './alertWorkflow.ts';

const SOME_ALERT = 'alert_0199f2c4a1b27d3e8c5f6a7b8c9d0e1f';

export function alertsCommand(): Command {
  const alerts = new Command('alerts').description('findings that somebody must work on');
  alerts.commandsGroup('Alerts:');
  for (const make of [listAll, show, create]) alerts.addCommand(make());
  alerts.commandsGroup('Workflow:');
  for (const command of workflowCommands(SOME_ALERT)) alerts.addCommand(command);
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

type AlertListOptions = DataOptions & AlertFilterInput & { readonly search?: string; readonly unassigned?: true };

function listAll(): Command {
  const command = listCommand('list', 'list alerts, the newest first')
    .addOption(new Option('--status <status...>', 'only of these').choices(alertStatuses))
    .addOption(new Option('--severity <severity...>', 'only of these').choices(severities))
    .addOption(new Option('--alert-type <type...>', 'only of these').choices(alertTypes))
    .option('--customer-id <id>', 'only about this customer')
    .option('--transaction-id <id>', 'only about this transaction')
    .option('--assigned-to <who>', 'only of this person')
    .option('--unassigned', 'only of nobody')
    .option('--archived', 'the archived ones instead')
    .option('--search <text>', 'only with this text in title, description or notes')
    .action(({ json: asJson, dataDirectory, search, unassigned, ...given }: AlertListOptions) => {
      const filter = unassigned ? { ...given, assignedTo: null } : given;
      return answer(
        { json: asJson, dataDirectory },
        ({ compliance }) =>
          search === undefined ? compliance.listAlerts(filter) : compliance.searchAlerts(search, filter),
        (page) => printPage(page, alertColumns, 'No alerts.'),
      );
    });
  return withExample(command, 'alerts list --status open escalated --severity high critical');
}

function show(): Command {
  const command = readCommand('show', 'show one alert and its history')
    .argument('<alert>', 'alert_id or id')
    .action((alertId: string, options: DataOptions) =>
      answer(
        options,
        async ({ compliance }) => ({
          ...(await compliance.getAlert(alertId)),
          timeline: await compliance.getTimeline(alertId),
        }),
        ({ timeline, ...alert }) => {
          printFields(alert);
          print('');
          printTimeline(timeline);
        },
      ),
    );
  return withExample(command, `alerts show ${SOME_ALERT}`);
}

function create(): Command {
  const command = changeCommand('create', 'raise an alert by hand')
    .addOption(new Option('--alert-type <type>', 'what it is').choices(alertTypes).makeOptionMandatory())
    .addOption(new Option('--severity <severity>', 'how bad it is').choices(severities).makeOptionMandatory())
    .requiredOption('--title <text>', 'one line for the list')
    .option('--description <text>', 'what was seen')
    .option('--customer-id <id>', "MoonPay's id of the customer, or yours")
    .option('--transaction-id <id>', 'the transaction')
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

function printTimeline(timeline: readonly TimelineEntry[]): void {
  printTable(
    timeline,
    [
      { title: 'AT', value: ({ at }) => timeText(at) },
      { title: 'WHO', value: ({ actor }) => actor },
      { title: 'WHAT', value: ({ action }) => action },
      { title: 'STATUS', value: ({ toStatus }) => toStatus },
      { title: 'REASON', value: ({ reason }) => reason, mayCut: true },
    ],
    'No history.',
  );
}
