import { Command, Option } from 'commander';
import { type AlertType, alertTypes } from '../../compliance/alert.ts';
import {
  type NewSuppressionInput,
  type Suppression,
  type SuppressionFilterInput,
  suppressionStates,
} from '../../compliance/suppression.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { time } from '../optionValues.ts';
import { print, printFields, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';

const SUPPRESSION = ['<suppression>', 'id'] as const;
const SOME_SUPPRESSION = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

export function suppressionsCommand(): Command {
  const suppressions = new Command('suppressions').description('known findings that are dismissed as they come');
  for (const make of [listAll, show, request, approve, end]) suppressions.addCommand(make());
  return suppressions;
}

function listAll(): Command {
  const command = listCommand('list', 'list suppressions, the newest first')
    .option('--customer-id <id>', 'only of this customer')
    .addOption(new Option('--alert-type <type>', 'only of this type').choices(alertTypes))
    .addOption(new Option('--state <state>', 'only in this state').choices(suppressionStates))
    .action(({ json, dataDirectory, ...filter }: DataOptions & SuppressionFilterInput) =>
      answer(
        { json, dataDirectory },
        ({ compliance }) => compliance.suppressions.list(filter),
        (page) =>
          printPage(
            page,
            [
              { title: 'SUPPRESSION', value: ({ id }) => id },
              { title: 'STATE', value: ({ state }) => state },
              { title: 'CUSTOMER', value: ({ customerId }) => customerId },
              { title: 'TYPE', value: ({ alertType }) => alertType },
              { title: 'EXPIRES', value: ({ expiresAt }) => timeText(expiresAt) },
              { title: 'REQUESTED BY', value: ({ requestedBy }) => requestedBy },
              { title: 'APPROVED BY', value: ({ approvedBy }) => approvedBy },
              { title: 'REASON', value: ({ endedReason, reason }) => endedReason ?? reason, mayCut: true },
            ],
            'No suppressions.',
          ),
      ),
    );
  return withExample(command, 'alerts suppressions list --state requested');
}

function show(): Command {
  const command = readCommand('show', 'show one suppression')
    .argument(...SUPPRESSION)
    .action((id: string, options: DataOptions) =>
      answer(options, ({ compliance }) => compliance.suppressions.get(id), printFields),
    );
  return withExample(command, `alerts suppressions show ${SOME_SUPPRESSION}`);
}

function request(): Command {
  const command = changeCommand('request', 'ask that a known finding be dismissed as it comes; another person approves')
    .requiredOption('--customer-id <id>', 'as alerts name the customer')
    .addOption(new Option('--alert-type <type>', 'which alerts').choices(alertTypes).makeOptionMandatory())
    .option('--fingerprint <text>', 'which finding, as alerts have it (default: any of the type)')
    .requiredOption('--reason <text>', 'why nobody needs to look')
    .requiredOption('--expires-at <time>', 'until when', time)
    .action(({ json, dataDirectory, as: actor, ...input }: ChangeOptions & NewSuppressionInput) =>
      answer(
        { json, dataDirectory },
        ({ compliance }) => compliance.suppressions.request(input, { actor }),
        ({ id }) => print(`Requested as ${id}. It does nothing until another person approves it.`),
      ),
    );
  return withExample(
    command,
    'alerts suppressions request --customer-id customer_123 --alert-type sanctions_check --reason "Born 1990, the entry 1950" --expires-at 2027-12-31T00:00:00Z',
  );
}

function approve(): Command {
  const command = changeCommand('approve', 'put into force what another person requested')
    .argument(...SUPPRESSION)
    .action((id: string, { as: actor, ...options }: ChangeOptions) =>
      answer(options, ({ compliance }) => compliance.suppressions.approve(id, { actor }), printState),
    );
  return withExample(command, `alerts suppressions approve ${SOME_SUPPRESSION}`);
}

function end(): Command {
  const command = changeCommand('end', 'end a suppression: what comes from now on is an alert')
    .argument(...SUPPRESSION)
    .requiredOption('--reason <text>', 'why')
    .action((id: string, { as: actor, reason, ...options }: ChangeOptions & { readonly reason: string }) =>
      answer(options, ({ compliance }) => compliance.suppressions.end(id, reason, { actor }), printState),
    );
  return withExample(command, `alerts suppressions end ${SOME_SUPPRESSION} --reason "New documents came in"`);
}

const words = { requested: 'is requested', in_force: 'is in force', ended: 'has ended' } as const;

function printState({ id, state, alertType, customerId, expiresAt }: Suppression): void {
  const until = state === 'in_force' ? ` until ${timeText(expiresAt)}` : '';
  print(`${id} (${nameOf(alertType)} of ${customerId}) ${words[state]}${until}.`);
}

function nameOf(alertType: AlertType): string {
  return alertType.replaceAll('_', ' ');
}
