import { Command } from 'commander';
import type { HoldFilterInput, LegalHold, NewHoldInput } from '../../retention/hold.ts';
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

const HOLD = ['<hold>', 'id'] as const;
const SOME_HOLD = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

export function holdsCommand(): Command {
  const holds = new Command('holds').description('legal holds: what nobody and nothing removes or erases');
  for (const make of [listAll, show, place, lift]) holds.addCommand(make());
  return holds;
}

function listAll(): Command {
  const command = listCommand('list', 'list legal holds, the newest first')
    .option('--customer-id <id>', 'only of this customer')
    .option('--all', 'lifted ones too')
    .action(
      ({ json, dataDirectory, all, ...filter }: DataOptions & Omit<HoldFilterInput, 'inForce'> & { all?: true }) =>
        answer(
          { json, dataDirectory },
          ({ holds }) => holds.list(all ? filter : { ...filter, inForce: true }),
          (page) =>
            printPage(
              page,
              [
                { title: 'HOLD', value: ({ id }) => id },
                { title: 'HOLDS', value: scopeText },
                { title: 'SET BY', value: ({ setBy }) => setBy },
                { title: 'SET AT', value: ({ setAt }) => timeText(setAt) },
                { title: 'LIFTED BY', value: ({ liftedBy }) => liftedBy },
                { title: 'REASON', value: ({ reason, liftedReason }) => liftedReason ?? reason, mayCut: true },
              ],
              'No legal holds.',
            ),
        ),
    );
  return withExample(command, 'holds list --all');
}

function show(): Command {
  const command = readCommand('show', 'show one legal hold')
    .argument(...HOLD)
    .action((id: string, options: DataOptions) => answer(options, ({ holds }) => holds.get(id), printFields));
  return withExample(command, `holds show ${SOME_HOLD}`);
}

function place(): Command {
  const command = changeCommand('place', 'keep what matches everything that is given, until the hold is lifted')
    .requiredOption('--reason <text>', 'why')
    .option('--customer-id <id>', 'of this customer')
    .option('--transaction-id <id>', 'of this transaction')
    .option('--policy-id <id>', 'by this policy: rows of the policy log alone')
    .option('--correlation-id <id>', 'all that happened because of one event')
    .option('--from <time>', 'from this time on', time)
    .option('--to <time>', 'up to this time', time)
    .action(({ json, dataDirectory, as: actor, ...input }: ChangeOptions & NewHoldInput) =>
      answer(
        { json, dataDirectory },
        ({ holds }) => holds.place(input, { actor }),
        (hold) => print(`Held as ${hold.id}: ${scopeText(hold)}.`),
      ),
    );
  return withExample(command, 'holds place --customer-id customer_123 --reason "Case 7/2026"');
}

function lift(): Command {
  const command = changeCommand('lift', 'end a legal hold: what is past its retention goes with the next run')
    .argument(...HOLD)
    .requiredOption('--reason <text>', 'why')
    .action((id: string, { as: actor, reason, ...options }: ChangeOptions & { readonly reason: string }) =>
      answer(
        options,
        ({ holds }) => holds.lift(id, reason, { actor }),
        (hold) => print(`Lifted: ${scopeText(hold)}.`),
      ),
    );
  return withExample(command, `holds lift ${SOME_HOLD} --reason "Closed"`);
}

function scopeText({ customerId, transactionId, policyId, correlationId, from, to }: LegalHold): string {
  const parts = { customer: customerId, transaction: transactionId, policy: policyId, correlation: correlationId };
  return [
    ...Object.entries(parts).flatMap(([name, value]) => (value === null ? [] : [`${name} ${value}`])),
    ...(from === null ? [] : [`from ${timeText(from)}`]),
    ...(to === null ? [] : [`to ${timeText(to)}`]),
  ].join(', ');
}
