import { setTimeout as wait } from 'node:timers/promises';
import { Command, Option } from 'commander';
import type { Moonguard } from '../../moonguard.ts';
import { type Replay, type ReplayRequest, replayableStatuses } from '../../webhooks/replay.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { SOME_ENDPOINT } from '../endpointArgument.ts';
import { invocation } from '../invocation.ts';
import { list, positive, time } from '../optionValues.ts';
import { count, print, printFields, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';

const SOME_REPLAY = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';
const REPLAY = ['<replay>', 'id of the replay'] as const;
const WATCH = ['--watch', 'show how far it is until it has ended'] as const;
const LOOK_EVERY_MS = 1_000;
/** What makes a replay smaller; one that somebody forgot would send everything to everybody. */
const narrowing = ['endpoint', 'status', 'events', 'since', 'until'] as const;

export function replayCommands(): Command[] {
  const replays = new Command('replays').description('replays: how far they are, and an end to them');
  for (const make of [listAll, show, cancel]) replays.addCommand(make());
  return [replay(), replays];
}

interface WatchOptions {
  readonly watch?: true;
}

interface ReplayOptions extends ChangeOptions, WatchOptions, Omit<ReplayRequest, 'webhookId'> {
  readonly endpoint?: string;
  readonly all?: true;
}

function replay(): Command {
  const command = changeCommand('replay', 'send many deliveries again')
    .option('--endpoint <endpoint>', 'only to this endpoint')
    .addOption(
      new Option('--status <status...>', 'only of these (default: exhausted, held)').choices(replayableStatuses),
    )
    .option('--type, --events <names>', 'only of these events: "transaction.completed,customer.*"', list)
    .option('--since <time>', 'only those made at this time or later', time)
    .option('--until <time>', 'only those made before this time', time)
    .addOption(new Option('--all', 'everything that was never delivered').conflicts([...narrowing]))
    .option(
      '--rate, --rate-per-second <number>',
      'at most so many a second (default: as the endpoints take them)',
      positive,
    )
    .option(...WATCH)
    .action(({ json, dataDirectory, as: actor, watch, all, ...request }: ReplayOptions, self: Command) => {
      if (!all && narrowing.every((name) => request[name] === undefined)) {
        self.error('error: say which: --endpoint, --status, --type, --since or --until, or --all');
      }
      const { endpoint: webhookId, ...others } = request;
      return answer(
        { json, dataDirectory },
        async (moonguard) => {
          const begun = await moonguard.webhooks.replayDeliveries({ webhookId, ...others }, { actor });
          return watch ? watchReplay(moonguard, begun, json ? () => {} : printProgress) : begun;
        },
        printBegun,
      );
    });
  return withExample(
    command,
    `webhooks replay --endpoint ${SOME_ENDPOINT}`,
    'webhooks replay --status delivered --type "transaction.*" --since 2026-11-01T00:00:00Z --rate 50 --watch',
  );
}

function listAll(): Command {
  const command = listCommand('list', 'list replays, the newest first').action(
    ({ json, dataDirectory, ...page }: DataOptions & { readonly limit: number; readonly cursor?: string }) =>
      answer(
        { json, dataDirectory },
        ({ webhooks }) => webhooks.listReplays(page),
        (replays) =>
          printPage(
            replays,
            [
              { title: 'REPLAY', value: ({ id }) => id },
              { title: 'STATUS', value: ({ status }) => status },
              { title: 'TOTAL', value: ({ totalCount }) => totalCount, align: 'right' },
              { title: 'RELEASED', value: ({ releasedCount }) => releasedCount, align: 'right' },
              { title: 'DELIVERED', value: ({ deliveredCount }) => deliveredCount, align: 'right' },
              { title: 'FAILED', value: ({ failedCount }) => failedCount, align: 'right' },
              { title: 'BEGAN', value: ({ createdAt }) => timeText(createdAt) },
              { title: 'BY', value: ({ createdBy }) => createdBy, mayCut: true },
              { title: 'ENDPOINT', value: ({ webhookId }) => webhookId },
            ],
            'No replays.',
          ),
      ),
  );
  return withExample(command, 'webhooks replays list');
}

function show(): Command {
  const command = readCommand('show', 'show one replay and how far it is')
    .argument(...REPLAY)
    .option(...WATCH)
    .action((replayId: string, { watch, ...options }: DataOptions & WatchOptions) =>
      answer(
        options,
        async (moonguard) => {
          const found = await moonguard.webhooks.getReplay(replayId);
          return watch ? watchReplay(moonguard, found, options.json ? () => {} : printProgress) : found;
        },
        printFields,
      ),
    );
  return withExample(command, `webhooks replays show ${SOME_REPLAY} --watch`);
}

function cancel(): Command {
  const command = changeCommand('cancel', 'end a replay now; what was not sent yet stays as it was')
    .argument(...REPLAY)
    .action((replayId: string, options: ChangeOptions) =>
      answer(
        options,
        ({ webhooks }) => webhooks.cancelReplay(replayId, { actor: options.as }),
        ({ id, totalCount, releasedCount }) => print(`${id} is cancelled after ${releasedCount} of ${totalCount}.`),
      ),
    );
  return withExample(command, `webhooks replays cancel ${SOME_REPLAY}`);
}

/** Looks again until the replay has ended. Ctrl-C ends the looking, not the replay. */
async function watchReplay(
  { webhooks, database }: Pick<Moonguard, 'webhooks' | 'database'>,
  begun: Replay,
  tell: (replay: Replay) => void,
): Promise<Replay> {
  let seen = begun;
  // While this command has the embedded database, no server can be at work on it.
  while (seen.status === 'running' && database.kind !== 'embedded') {
    tell(seen);
    await wait(LOOK_EVERY_MS);
    seen = await webhooks.getReplay(seen.id);
  }
  return seen;
}

function printProgress({ totalCount, releasedCount, deliveredCount, failedCount, estimatedEndAt }: Replay): void {
  const end = timeText(estimatedEndAt);
  const expected = end === undefined ? '' : `, until about ${end}`;
  print(`${releasedCount} of ${totalCount} released: ${deliveredCount} delivered, ${failedCount} failed${expected}`);
}

function printBegun(begun: Replay): void {
  if (begun.status !== 'running') {
    printFields(begun);
    return;
  }
  print(`A running server sends ${count(begun.totalCount, 'delivery', 'deliveries')} as the replay ${begun.id}.`);
  print(`How far it is: ${invocation(`webhooks replays show ${begun.id}`)}`);
}
