import { Command, Option } from 'commander';
import { type EndpointChange, endpointStatuses, type WebhookEndpoint } from '../../webhooks/endpoint.ts';
import type { CreateWebhookInput, WebhookChanges } from '../../webhooks/endpointInput.ts';
import type { EndpointChangePage, WebhookFilter } from '../../webhooks/listFilters.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  environmentOption,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { ENDPOINT, SOME_ENDPOINT } from '../endpointArgument.ts';
import { invocation } from '../invocation.ts';
import { header, integer, json, list } from '../optionValues.ts';
import { print, printFields, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';
import { clientCertificateCommand } from './clientCertificate.ts';
import { deliveryCommands } from './deliveries.ts';
import { replayCommands } from './replays.ts';

export function webhooksCommand(): Command {
  const webhooks = new Command('webhooks').description('endpoints that events are delivered to, and their deliveries');
  webhooks.commandsGroup('Endpoints:');
  const commands = [create, listAll, show, update, remove, rotateSecret, clientCertificateCommand];
  for (const make of [...commands, suspend, resume, history, test]) webhooks.addCommand(make());
  webhooks.commandsGroup('Deliveries:');
  for (const command of [...deliveryCommands(), ...replayCommands()]) webhooks.addCommand(command);
  return webhooks;
}

function create(): Command {
  const command = changeCommand('create', 'create an endpoint; its secret is shown once')
    .requiredOption('--url <url>', 'where deliveries are posted to; https in production')
    .requiredOption('--events <names>', 'what it gets: "transaction.completed,customer.*", or "*" for all', list)
    .addOption(environmentOption('whose events it gets').default('sandbox'));
  withSettings(command).action((options: ChangeOptions & CreateWebhookInput & SettingOptions) => {
    const { url, environment, events, as: actor } = options;
    const input = { url, environment, events, ...settingsOf(options) };
    return answer(
      options,
      ({ webhooks }) => webhooks.createWebhook(input, { actor }),
      ({ secret, ...endpoint }) => {
        printFields(endpoint);
        print('', `Secret, shown this once: ${secret}`);
        print('The receiver verifies deliveries with it: by Standard Webhooks, or as MoonPay signs.');
      },
    );
  });
  return withExample(
    command,
    'webhooks create --url https://example.com/moonpay --events "transaction.*,customer.kyc_completed"',
    'webhooks create --url https://example.com/moonpay --events "*" --environment production --header "x-team: payments"',
  );
}

function listAll(): Command {
  const command = listCommand('list', 'list endpoints, the newest first')
    .addOption(environmentOption('only of this environment'))
    .addOption(new Option('--status <status>', 'only of this status').choices(endpointStatuses))
    .option('--include-deleted', 'deleted ones too')
    .action(({ json: asJson, dataDirectory, ...filter }: DataOptions & WebhookFilter) =>
      answer(
        { json: asJson, dataDirectory },
        ({ webhooks }) => webhooks.listWebhooks(filter),
        (page) =>
          printPage(
            page,
            [
              { title: 'ENDPOINT', value: ({ webhookId }) => webhookId },
              { title: 'ENVIRONMENT', value: ({ environment }) => environment },
              { title: 'STATUS', value: ({ deletedAt, status }) => (deletedAt === null ? status : 'deleted') },
              { title: 'OK', value: ({ successfulDeliveriesCount }) => successfulDeliveriesCount, align: 'right' },
              { title: 'FAILED', value: ({ failedDeliveriesCount }) => failedDeliveriesCount, align: 'right' },
              { title: 'URL', value: ({ url }) => url, mayCut: true },
              { title: 'EVENTS', value: ({ events }) => events.join(', '), mayCut: true },
            ],
            'No endpoints.',
          ),
      ),
    );
  return withExample(command, 'webhooks list --environment production --status failed');
}

function show(): Command {
  const command = readCommand('show', 'show one endpoint')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: DataOptions) =>
      answer(options, ({ webhooks }) => webhooks.getWebhook(webhookId), printFields),
    );
  return withExample(command, `webhooks show ${SOME_ENDPOINT}`);
}

function update(): Command {
  const command = changeCommand('update', 'change an endpoint; what is not given stays')
    .argument(...ENDPOINT)
    .option('--url <url>', 'where deliveries are posted to')
    .option('--events <names>', 'what it gets, all of it', list);
  withSettings(command)
    .option('--no-filter', 'send every event it names again')
    .action((webhookId: string, options: ChangeOptions & WebhookChanges & SettingOptions) => {
      const { url, events, as: actor } = options;
      const changes = { url, events, ...settingsOf(options) };
      return answer(options, ({ webhooks }) => webhooks.updateWebhook(webhookId, changes, { actor }), printFields);
    });
  return withExample(
    command,
    `webhooks update ${SOME_ENDPOINT} --events "*" --retry '{"max_attempts": 5}'`,
    `webhooks update ${SOME_ENDPOINT} --filter 'event.data.baseCurrencyAmount > 100'`,
  );
}

function remove(): Command {
  const command = changeCommand('delete', 'delete an endpoint; its deliveries keep their history')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: ChangeOptions) =>
      answer(
        options,
        async ({ webhooks }) => {
          await webhooks.deleteWebhook(webhookId, { actor: options.as });
          return { deleted: webhookId };
        },
        ({ deleted }) => print(`Deleted ${deleted}.`),
      ),
    );
  return withExample(command, `webhooks delete ${SOME_ENDPOINT}`);
}

function rotateSecret(): Command {
  const command = changeCommand('rotate-secret', 'give an endpoint a new secret, shown once')
    .argument(...ENDPOINT)
    .option('--overlap <seconds>', 'how long the old secret signs too (default: a day)', integer)
    .action((webhookId: string, options: ChangeOptions & { readonly overlap?: number }) => {
      const { as: actor, overlap: overlapSeconds } = options;
      return answer(
        options,
        ({ webhooks }) => webhooks.rotateSecret(webhookId, { overlapSeconds }, { actor }),
        ({ secret, previousExpiresAt }) => {
          print(`New secret, shown this once: ${secret}`);
          const until = timeText(previousExpiresAt);
          if (until !== undefined) print(`Until ${until} deliveries are signed with the old one as well.`);
        },
      );
    });
  return withExample(command, `webhooks rotate-secret ${SOME_ENDPOINT} --overlap 3600`);
}

function suspend(): Command {
  const command = changeCommand('suspend', 'switch an endpoint off: its deliveries are held')
    .argument(...ENDPOINT)
    .option('--reason <text>', 'why')
    .action((webhookId: string, options: ChangeOptions & { readonly reason?: string }) => {
      const { as: actor, reason } = options;
      return answer(options, ({ webhooks }) => webhooks.suspendWebhook(webhookId, reason, { actor }), printStatus);
    });
  return withExample(command, `webhooks suspend ${SOME_ENDPOINT} --reason "maintenance until noon"`);
}

function resume(): Command {
  const command = changeCommand('resume', 'make an endpoint active again; what was held stays held')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: ChangeOptions) =>
      answer(
        options,
        ({ webhooks }) => webhooks.resumeWebhook(webhookId, { actor: options.as }),
        (endpoint) => {
          printStatus(endpoint);
          print(`To send what was held: ${invocation(`webhooks replay --endpoint ${endpoint.webhookId}`)}`);
        },
      ),
    );
  return withExample(command, `webhooks resume ${SOME_ENDPOINT}`);
}

function history(): Command {
  const command = listCommand('history', 'list every change of an endpoint and who made it, the newest first')
    .argument(...ENDPOINT)
    .action((webhookId: string, { json: asJson, dataDirectory, ...page }: DataOptions & EndpointChangePage) =>
      answer(
        { json: asJson, dataDirectory },
        ({ webhooks }) => webhooks.listChanges(webhookId, page),
        (changes) =>
          printPage(
            changes,
            [
              { title: 'AT', value: ({ at }) => timeText(at) },
              { title: 'WHAT', value: ({ action }) => action },
              { title: 'BY', value: ({ actor }) => actor },
              { title: 'CHANGE', value: ({ id }) => id },
              { title: 'SETTINGS', value: settingsText, mayCut: true },
            ],
            'No changes.',
          ),
      ),
    );
  return withExample(command, `webhooks history ${SOME_ENDPOINT}`);
}

/** `status active → inactive`; of a new endpoint what it has. */
function settingsText({ before, after }: EndpointChange): string {
  const [was, is] = [new Map(Object.entries(before ?? {})), new Map(Object.entries(after ?? {}))];
  return Array.from(new Set([...is.keys(), ...was.keys()]), (name) => {
    const steps = [was, is].filter((settings) => settings.has(name)).map((settings) => valueText(settings.get(name)));
    return `${name} ${was.has(name) && !is.has(name) ? `${steps.join('')} → nothing` : steps.join(' → ')}`;
  }).join('; ');
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function test(): Command {
  const command = changeCommand('test', 'send the event webhook.test to an endpoint')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: ChangeOptions) =>
      answer(
        options,
        async ({ webhooks }) => ({ deliveryId: await webhooks.sendTestEvent(webhookId, { actor: options.as }) }),
        ({ deliveryId }) => {
          print(`A running server sends it as the delivery ${deliveryId}.`);
          print(`How it went: ${invocation(`webhooks attempts ${deliveryId}`)}`);
        },
      ),
    );
  return withExample(command, `webhooks test ${SOME_ENDPOINT}`);
}

/** What both create and update take. */
interface SettingOptions {
  readonly description?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly retry?: WebhookChanges['retryPolicy'];
  readonly delivery?: WebhookChanges['deliverySettings'];
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly filter?: string | false;
}

function withSettings(command: Command): Command {
  return command
    .option('--description <text>', 'for people')
    .option('--header <name: value>', 'sent with every delivery; may be given several times', header)
    .option('--retry <json>', 'max_attempts, backoff_strategy, initial_delay_ms, max_delay_ms, jitter', json)
    .option('--delivery <json>', 'verify_ssl, timeout_ms, rate_limit_per_second, ordering, payload', json)
    .option('--metadata <json>', 'an object of yours', json)
    .option('--filter <cel>', 'only events for which it is true, as event.data.baseCurrencyAmount > 100');
}

function settingsOf({ description, header: headers, retry, delivery, metadata, filter }: SettingOptions) {
  return {
    description,
    headers,
    retryPolicy: retry,
    deliverySettings: delivery,
    metadata,
    filter: filter === false ? null : filter,
  };
}

function printStatus({ webhookId, status }: WebhookEndpoint): void {
  print(`${webhookId} is ${status}.`);
}
