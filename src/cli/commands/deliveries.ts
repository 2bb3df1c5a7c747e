import { type Command, Option } from 'commander';
import { type Delivery, type DeliveryWithAttempts, deliveryStatuses } from '../../webhooks/delivery.ts';
import type { DeliveryFilter, UndeliveredFilter } from '../../webhooks/listFilters.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { SOME_ENDPOINT } from '../endpointArgument.ts';
import { print, printFields, printPage, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';
import { statisticsCommand } from './statistics.ts';

const SOME_DELIVERY = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

export function deliveryCommands(): Command[] {
  return [deliveries(), undelivered(), attempts(), retry(), statisticsCommand()];
}

const columns: readonly Column<Delivery>[] = [
  { title: 'DELIVERY', value: ({ id }) => id },
  { title: 'STATUS', value: ({ status, inFlight }) => (inFlight ? 'in flight' : status) },
  { title: 'ATTEMPTS', value: ({ attemptsCount }) => attemptsCount, align: 'right' },
  { title: 'LAST', value: ({ lastErrorClass, lastResponseStatus }) => lastErrorClass ?? lastResponseStatus },
  { title: 'NEXT', value: ({ nextAttemptAt }) => timeText(nextAttemptAt) },
  { title: 'EVENT', value: ({ eventName }) => eventName, mayCut: true },
  { title: 'ENDPOINT', value: ({ webhookId }) => webhookId },
];

/** A filter as the command line has it. */
type ToEndpoint<Filter> = Omit<Filter, 'webhookId'> & { readonly endpoint?: string };

function deliveries(): Command {
  const command = listCommand('deliveries', 'list deliveries, the newest first')
    .addOption(new Option('--status <status>', 'only of this status').choices(deliveryStatuses))
    .option('--endpoint <endpoint>', 'only to this endpoint')
    .option('--event-id <id>', 'only of this event')
    .action(({ json, dataDirectory, endpoint: webhookId, ...filter }: DataOptions & ToEndpoint<DeliveryFilter>) =>
      answer(
        { json, dataDirectory },
        ({ webhooks }) => webhooks.listDeliveries({ webhookId, ...filter }),
        (page) => printPage(page, columns, 'No deliveries.'),
      ),
    );
  return withExample(command, `webhooks deliveries --status pending --endpoint ${SOME_ENDPOINT}`);
}

function undelivered(): Command {
  const command = listCommand('undelivered', 'list what was never delivered: exhausted and held')
    .option('--endpoint <endpoint>', 'only to this endpoint')
    .option('--event-id <id>', 'only of this event')
    .action(({ json, dataDirectory, endpoint: webhookId, ...filter }: DataOptions & ToEndpoint<UndeliveredFilter>) =>
      answer(
        { json, dataDirectory },
        ({ webhooks }) => webhooks.listUndelivered({ webhookId, ...filter }),
        (page) => printPage(page, columns, 'Nothing undelivered.'),
      ),
    );
  return withExample(command, 'webhooks undelivered');
}

function attempts(): Command {
  const command = readCommand('attempts', 'show one delivery and every attempt at it')
    .argument('<delivery>', 'id of the delivery')
    .action((deliveryId: string, options: DataOptions) =>
      answer(options, ({ webhooks }) => webhooks.getDelivery(deliveryId), printDelivery),
    );
  return withExample(command, `webhooks attempts ${SOME_DELIVERY}`);
}

function retry(): Command {
  const command = changeCommand('retry', 'send a delivery again now')
    .argument('<delivery>', 'id of the delivery')
    .action((deliveryId: string, options: ChangeOptions) =>
      answer(
        options,
        async ({ webhooks }) => {
          await webhooks.retryDelivery(deliveryId, { actor: options.as });
          return { retried: deliveryId };
        },
        ({ retried }) => print(`${retried} is due now: a running server sends it.`),
      ),
    );
  return withExample(command, `webhooks retry ${SOME_DELIVERY}`);
}

function printDelivery({ attempts: made, ...delivery }: DeliveryWithAttempts): void {
  printFields(delivery);
  print('');
  printTable(
    made,
    [
      { title: 'ATTEMPT', value: ({ attemptNumber }) => attemptNumber, align: 'right' },
      { title: 'STARTED', value: ({ startedAt }) => timeText(startedAt) },
      { title: 'MS', value: ({ durationMs }) => durationMs, align: 'right' },
      { title: 'OUTCOME', value: ({ outcome }) => outcome },
      { title: 'HTTP', value: ({ responseStatus }) => responseStatus, align: 'right' },
      { title: 'ERROR', value: ({ errorClass, errorMessage }) => errorMessage ?? errorClass, mayCut: true },
      { title: 'ANSWER', value: ({ responseBody }) => responseBody, mayCut: true },
    ],
    'No attempt yet.',
  );
}
