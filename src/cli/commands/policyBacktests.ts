import { setTimeout as wait } from 'node:timers/promises';
import { Command, Option } from 'commander';
import type { Moonguard } from '../../moonguard.ts';
import { type Environment } from '../../observe/observation.ts';
import type { Backtest } from '../../policy/backtest.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  environmentOption,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { invocation } from '../invocation.ts';
import { count as positive, time } from '../optionValues.ts';
import { print, printFields, printPage, printTable, timeText } from '../output.ts';
import { POLICY, SOME_POLICY } from '../policyArgument.ts';
import { answer } from '../session.ts';

const SOME_BACKTEST = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';
const BACKTEST = ['<backtest>', 'id of the backtest'] as const;
/** While another process is at work on it. */
const LOOK_EVERY_MS = 500;

export function backtestCommands(): Command[] {
  const backtests = new Command('backtests').description(
    'backtests: how far they are, what came of them, and an end to them',
  );
  for (const make of [listAll, show, cancel]) backtests.addCommand(make());
  return [backtest(), backtests];
}

interface BacktestOptions extends ChangeOptions {
  readonly version?: number;
  readonly compare?: number;
  readonly environment?: Environment;
  readonly since?: Date;
  readonly until?: Date;
  readonly detach?: true;
}

function backtest(): Command {
  const command = changeCommand('backtest', 'see what a version would have said on the events of the past')
    .argument(...POLICY)
    .option('--version <number>', 'default: the newest', positive)
    .option('--compare <number>', 'with this version (default: the active one)', positive)
    .addOption(environmentOption('only events of it'))
    .option('--since <time>', 'only events received at this time or later', time)
    .option('--until <time>', 'only events received before this time', time)
    .addOption(new Option('--detach', 'leave the work to a running server, and do not wait'))
    .action((policyId: string, { json, dataDirectory, as: actor, detach, compare, ...request }: BacktestOptions) =>
      answer(
        { json, dataDirectory },
        async (moonguard) => {
          const { backtests } = moonguard.policies;
          const begun = await backtests.begin({ policyId, ...request, comparedVersion: compare }, { actor });
          return detach ? begun : finish(moonguard, begun, json ? () => {} : printProgress);
        },
        (seen) => {
          if (detach) print(`How far it is: ${invocation(`policies backtests show ${seen.id}`)}`);
          else printBacktest(seen);
        },
      ),
    );
  return withExample(
    command,
    `policies backtest ${SOME_POLICY}`,
    `policies backtest ${SOME_POLICY} --version 3 --compare 2 --since 2026-10-01T00:00:00Z`,
  );
}

function listAll(): Command {
  const command = listCommand('list', 'list backtests, the newest first')
    .option('--policy-id <id>', 'only of this policy')
    .action(({ json, dataDirectory, ...page }: DataOptions & { readonly limit: number }) =>
      answer(
        { json, dataDirectory },
        ({ policies }) => policies.backtests.list(page),
        (backtests) =>
          printPage(
            backtests,
            [
              { title: 'BACKTEST', value: ({ id }) => id },
              { title: 'STATUS', value: ({ status }) => status },
              { title: 'POLICY', value: ({ policyId }) => policyId },
              { title: 'VERSION', value: ({ version }) => version, align: 'right' },
              { title: 'COMPARED', value: ({ comparedVersion }) => comparedVersion, align: 'right' },
              { title: 'EVENTS', value: ({ totalCount }) => totalCount, align: 'right' },
              {
                title: 'DONE',
                value: ({ evaluatedCount, skippedCount }) => evaluatedCount + skippedCount,
                align: 'right',
              },
              { title: 'BEGAN', value: ({ createdAt }) => timeText(createdAt) },
              { title: 'BY', value: ({ createdBy }) => createdBy, mayCut: true },
            ],
            'No backtests.',
          ),
      ),
    );
  return withExample(command, 'policies backtests list');
}

function show(): Command {
  const command = readCommand('show', 'show a backtest and what came of it so far')
    .argument(...BACKTEST)
    .action((backtestId: string, options: DataOptions) =>
      answer(options, ({ policies }) => policies.backtests.get(backtestId), printBacktest),
    );
  return withExample(command, `policies backtests show ${SOME_BACKTEST}`);
}

function cancel(): Command {
  const command = changeCommand('cancel', 'end a backtest now')
    .argument(...BACKTEST)
    .action((backtestId: string, options: ChangeOptions) =>
      answer(
        options,
        ({ policies }) => policies.backtests.cancel(backtestId, { actor: options.as }),
        ({ id, totalCount, evaluatedCount }) => print(`${id} is cancelled after ${evaluatedCount} of ${totalCount}.`),
      ),
    );
  return withExample(command, `policies backtests cancel ${SOME_BACKTEST}`);
}

/** Works on the backtest until it has ended; where a server is at it already, this only looks on. Ctrl-C leaves the rest to a server. */
async function finish({ policies }: Moonguard, begun: Backtest, tell: (seen: Backtest) => void): Promise<Backtest> {
  let seen = begun;
  while (seen.status === 'running') {
    tell(seen);
    const step = await policies.backtests.advance(seen.id);
    if (step === undefined) await wait(LOOK_EVERY_MS);
    seen = await policies.backtests.get(seen.id);
  }
  return seen;
}

function printProgress({ evaluatedCount, skippedCount, totalCount, report }: Backtest): void {
  const changed = Object.values(report.changes).reduce((sum, events) => sum + events, 0);
  print(`${evaluatedCount + skippedCount} of ${totalCount} events: ${report.applied} applied to, ${changed} changed`);
}

function printBacktest({ report, ...fields }: Backtest): void {
  const { applied, outcomes, asRecorded, hits, errors, changes, examples } = report;
  printFields({ ...fields, applied, asRecorded, outcomes });
  printCounts('RULE', 'HITS', hits);
  printCounts('RULE', 'ERRORS', errors);
  printCounts('CHANGE', 'EVENTS', changes);
  for (const [change, events] of Object.entries(examples)) {
    print('', `${change}, for example:`);
    for (const { eventId, rules } of events.slice(0, 3)) {
      const why = rules.map(({ rule, values }) => `${rule} ${JSON.stringify(values)}`).join('; ');
      print(`  ${eventId}  ${why}`.trimEnd());
    }
  }
}

function printCounts(what: string, title: string, counts: Readonly<Record<string, number>>): void {
  const rows = Object.entries(counts).toSorted(([, one], [, other]) => other - one);
  if (rows.length === 0) return;
  print('');
  printTable(
    rows,
    [
      { title: what, value: ([name]) => name },
      { title, value: ([, number]) => number, align: 'right' },
    ],
    '',
  );
}
