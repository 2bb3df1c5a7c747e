import { Command } from 'commander';
import type { ExceptionFilterInput, NewExceptionInput } from '../../policy/exception.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  environmentOption,
  listCommand,
  withExample,
} from '../command.ts';
import { time } from '../optionValues.ts';
import { print, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';

const SOME_EXCEPTION = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

export function exceptionsCommand(): Command {
  const exceptions = new Command('exceptions').description('for whom a policy has no effect until a date');
  for (const make of [listAll, grant, end]) exceptions.addCommand(make());
  return exceptions;
}

interface ListOptions extends DataOptions, ExceptionFilterInput {
  readonly inForce?: true;
}

function listAll(): Command {
  const command = listCommand('list', 'list exceptions, the newest first')
    .option('--policy-id <id>', 'only of this policy')
    .option('--customer-id <id>', 'only of this customer')
    .option('--in-force', 'only those that hold now')
    .action(({ json, dataDirectory, inForce: isInForce, ...filter }: ListOptions) =>
      answer(
        { json, dataDirectory },
        ({ policies }) => policies.exceptions.list({ ...filter, isInForce }),
        (page) =>
          printPage(
            page,
            [
              { title: 'EXCEPTION', value: ({ id }) => id },
              { title: 'POLICY', value: ({ policyId }) => policyId },
              { title: 'RULE', value: ({ ruleId }) => ruleId ?? 'any' },
              { title: 'CUSTOMER', value: ({ customerId }) => customerId },
              {
                title: 'OF',
                value: ({ entityType, entityId }) => (entityType === null ? 'anything' : `${entityType} ${entityId}`),
              },
              { title: 'ENDS', value: ({ endedAt, expiresAt }) => timeText(endedAt ?? expiresAt) },
              { title: 'GRANTED BY', value: ({ grantedBy }) => grantedBy },
              { title: 'REASON', value: ({ reason }) => reason, mayCut: true },
            ],
            'No exceptions.',
          ),
      ),
    );
  return withExample(command, 'policies exceptions list --in-force');
}

function grant(): Command {
  const command = changeCommand('grant', 'let a policy have no effect on a customer or entity until a date')
    .requiredOption('--policy-id <id>', 'which policy')
    .option('--rule-id <id>', 'which of its rules (default: any)')
    .addOption(environmentOption('only there (default: both)'))
    .option('--customer-id <id>', "MoonPay's id of the customer, or yours")
    .option('--entity-type <type>', 'what the entity is: transaction')
    .option('--entity-id <id>', 'only this one')
    .requiredOption('--reason <text>', 'why')
    .requiredOption('--expires-at <time>', 'until when', time)
    .action(({ json, dataDirectory, as: actor, ...input }: ChangeOptions & NewExceptionInput) =>
      answer(
        { json, dataDirectory },
        ({ policies }) => policies.exceptions.grant(input, { actor }),
        ({ id, policyId, expiresAt }) =>
          print(`Granted as ${id}: no effect of ${policyId} until ${timeText(expiresAt)}.`),
      ),
    );
  return withExample(
    command,
    'policies exceptions grant --policy-id card_velocity --rule-id too_many_cards --customer-id customer_123 --reason "A company with 12 cards" --expires-at 2027-12-31T00:00:00Z',
  );
}

function end(): Command {
  const command = changeCommand('end', 'end an exception before its time')
    .argument('<exception>', 'id of the exception')
    .action((id: string, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        ({ policies }) => policies.exceptions.end(id, { actor }),
        ({ policyId }) => print(`${id} has ended: ${policyId} has its effect again.`),
      ),
    );
  return withExample(command, `policies exceptions end ${SOME_EXCEPTION}`);
}
