import { Command, Option } from 'commander';
import { type ApprovalFilterInput, approvalStatuses, type PolicyApproval } from '../../policy/approval.ts';
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

const APPROVAL = ['<approval>', 'id of the approval'] as const;
const SOME_APPROVAL = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

export function approvalsCommand(): Command {
  const approvals = new Command('approvals').description('what policies want approved');
  for (const make of [listAll, show, grant, deny]) approvals.addCommand(make());
  return approvals;
}

function listAll(): Command {
  const command = listCommand('list', 'list approvals, the newest first')
    .addOption(new Option('--status <status...>', 'only of these').choices(approvalStatuses))
    .option('--policy-id <id>', 'only of this policy')
    .option('--customer-id <id>', 'only of this customer')
    .action(({ json, dataDirectory, ...filter }: DataOptions & ApprovalFilterInput) =>
      answer(
        { json, dataDirectory },
        ({ policies }) => policies.approvals.list(filter),
        (page) =>
          printPage(
            page,
            [
              { title: 'APPROVAL', value: ({ id }) => id },
              { title: 'STATUS', value: ({ status }) => status },
              { title: 'POLICY', value: ({ policyId }) => policyId },
              { title: 'RULE', value: ({ ruleId }) => ruleId },
              { title: 'OF', value: ({ entityType, entityId }) => `${entityType} ${entityId}` },
              { title: 'CUSTOMER', value: ({ customerId }) => customerId },
              { title: 'EXPIRES', value: ({ expiresAt }) => timeText(expiresAt) },
              { title: 'DECIDED BY', value: ({ decidedBy }) => decidedBy, mayCut: true },
            ],
            'No approvals.',
          ),
      ),
    );
  return withExample(command, 'policies approvals list --status pending');
}

function show(): Command {
  const command = readCommand('show', 'show one approval')
    .argument(...APPROVAL)
    .action((id: string, options: DataOptions) =>
      answer(options, ({ policies }) => policies.approvals.get(id), printFields),
    );
  return withExample(command, `policies approvals show ${SOME_APPROVAL}`);
}

interface DecisionOptions extends ChangeOptions {
  readonly reason: string;
}

function grant(): Command {
  const command = changeCommand('grant', 'approve: the rule has no further effect on it')
    .argument(...APPROVAL)
    .requiredOption('--reason <text>', 'why')
    .option('--valid-until <time>', 'until when (default: the hours of the settings)', time)
    .action(
      (id: string, { as: actor, reason, validUntil, ...options }: DecisionOptions & { readonly validUntil?: Date }) =>
        answer(options, ({ policies }) => policies.approvals.grant(id, reason, { actor, validUntil }), printDecided),
    );
  return withExample(command, `policies approvals grant ${SOME_APPROVAL} --reason "Source of funds was shown"`);
}

function deny(): Command {
  const command = changeCommand('deny', 'do not approve')
    .argument(...APPROVAL)
    .requiredOption('--reason <text>', 'why')
    .action((id: string, { as: actor, reason, ...options }: DecisionOptions) =>
      answer(options, ({ policies }) => policies.approvals.deny(id, reason, { actor }), printDecided),
    );
  return withExample(command, `policies approvals deny ${SOME_APPROVAL} --reason "No proof of address"`);
}

function printDecided({ policyId, ruleId, entityType, entityId, status, validUntil }: PolicyApproval): void {
  const until = validUntil === null ? '' : ` until ${timeText(validUntil)}`;
  print(`${policyId}/${ruleId} for ${entityType} ${entityId} is ${status}${until}.`);
}
