import { Command } from 'commander';
import type { Erasure, ErasureInput, RetentionRun } from '../../retention/RetentionService.ts';
import type { RetentionReport } from '../../retention/retentionReport.ts';
import type { PolicyLogStep } from '../../retention/store/planPolicyLogs.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count, print, printTable } from '../output.ts';
import { answer } from '../session.ts';

export function retentionCommand(): Command {
  const retention = new Command('retention').description(
    'removing what is past its time: events with their deliveries, and the policy log by its classes',
  );
  for (const make of [plan, run, erase]) retention.addCommand(make());
  return retention;
}

function plan(): Command {
  const command = readCommand('plan', 'show what a run would do now; changes nothing').action((options: DataOptions) =>
    answer(
      options,
      ({ retention }) => retention.plan(),
      (report) => {
        print(`Would go: ${countsText(report)}.`, '');
        printTable(
          report.policyLogs,
          [
            { title: 'POLICY LOG', value: ({ partition }) => partition.replace('moonpay_policy_logs_', '') },
            { title: 'CLASS', value: ({ retentionClass }) => retentionClass },
            { title: 'ROWS', value: ({ rows }) => rows, align: 'right' },
            { title: '', value: ({ action }) => words[action] },
          ],
          'Nothing of the policy log is past its time.',
        );
      },
    ),
  );
  return withExample(command, 'retention plan');
}

function run(): Command {
  const command = readCommand('run', 'do now what plan shows; may be interrupted at any time').action(
    (options: DataOptions) =>
      answer(
        options,
        ({ retention }) =>
          retention.run({ ...(!options.json && { onProgress: tellProgress }), signal: interruption() }),
        tellEnd,
      ),
  );
  return withExample(command, 'retention run');
}

function erase(): Command {
  const command = changeCommand('erase', "take what may be about a person out of a customer's rows of the policy log")
    .requiredOption('--customer-id <id>', 'as the log names the customer')
    .requiredOption('--reason <text>', 'stands in the log: name no person in it')
    .option('--events', "empty the bodies of the customer's events too")
    .action(({ json, dataDirectory, as: actor, ...input }: ChangeOptions & ErasureInput) =>
      answer({ json, dataDirectory }, ({ retention }) => retention.erase(input, { actor }), tellErasure),
    );
  return withExample(command, 'retention erase --customer-id customer_123 --reason "Request 12/2026" --events');
}

const words = {
  drop: 'go with their whole partition',
  remove: 'go',
  erase: 'stay, without what is about persons',
} as const satisfies Record<PolicyLogStep['action'], string>;

/** Ctrl-C ends the run after the step under way. */
export function interruption(): AbortSignal {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  return interrupted.signal;
}

/** One line that is written again and again; nothing where nobody looks. */
function tellProgress(soFar: RetentionReport): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[2K${countsText(soFar)} …`);
}

function tellEnd(result: RetentionRun): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001B[2K');
  print(`Gone: ${countsText(result)}.`);
  if (result.status === 'interrupted') print('There is more: another process is at it, or the next run goes on.');
}

function tellErasure({ erased, held, required, events }: Erasure): void {
  print(
    `Erased: ${count(erased, 'row', 'rows')} of the policy log${events ? `, ${count(events.erased, 'event', 'events')}` : ''}.`,
  );
  if (held > 0) print(`Held, so left as they are: ${held}.`);
  if (required > 0) print(`Required by the law of their class still, so left as they are: ${required}.`);
  if (events !== undefined && events.held > 0) print(`Events under a legal hold: ${events.held}.`);
}

function countsText({ events, deliveries, attempts, bodies, policyLogs }: RetentionReport): string {
  const rowsOf = (...actions: readonly PolicyLogStep['action'][]): number =>
    policyLogs.filter(({ action }) => actions.includes(action)).reduce((sum, { rows }) => sum + rows, 0);
  return [
    count(events, 'event', 'events'),
    count(deliveries, 'delivery', 'deliveries'),
    count(attempts, 'attempt', 'attempts'),
    `${count(bodies, 'body', 'bodies')} of events that stay`,
    `${count(rowsOf('drop', 'remove'), 'row', 'rows')} of the policy log`,
    `what is about persons in ${rowsOf('erase')} more`,
  ].join(', ');
}
