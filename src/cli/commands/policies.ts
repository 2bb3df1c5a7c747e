import { Command } from 'commander';
import type { Policy } from '../../policy/policy.ts';
import type { PolicyVersion, VersionStatus } from '../../policy/policyVersion.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { count } from '../optionValues.ts';
import { print, printFields, printTable, timeText } from '../output.ts';
import { POLICY, SOME_POLICY } from '../policyArgument.ts';
import { answer } from '../session.ts';
import { applyCommands } from './policyApply.ts';
import { approvalsCommand } from './policyApprovals.ts';
import { backtestCommands } from './policyBacktests.ts';
import { decisionCommands } from './policyDecisions.ts';
import { documentCommands } from './policyDocuments.ts';
import { exceptionsCommand } from './policyExceptions.ts';
import { listsCommand } from './policyLists.ts';
import { settingsCommand } from './policySettings.ts';
import { versionCommands } from './policyVersions.ts';

export function policiesCommand(): Command {
  const policies = new Command('policies').description(
    "what is decided on MoonPay's events, and on requests of your own",
  );
  const groups: readonly (readonly [string, readonly Command[]])[] = [
    ['Look:', [listAll(), show(), ...decisionCommands()]],
    ['Write:', documentCommands()],
    ['Change:', [...versionCommands(), ...applyCommands()]],
    ['Try out:', backtestCommands()],
    ['People and lists:', [approvalsCommand(), exceptionsCommand(), listsCommand(), settingsCommand()]],
  ];
  for (const [title, commands] of groups) {
    policies.commandsGroup(title);
    for (const command of commands) policies.addCommand(command);
  }
  return policies;
}

interface ListedPolicy extends Policy {
  readonly versions: readonly PolicyVersion[];
}

function listAll(): Command {
  const command = readCommand('list', 'list policies and which of their versions count').action(
    (options: DataOptions) =>
      answer(
        options,
        async ({ policies }) => {
          const listed: ListedPolicy[] = [];
          for (const policy of await policies.listPolicies()) {
            listed.push({ ...policy, versions: await policies.versions.list(policy.policyId) });
          }
          return listed;
        },
        (listed) =>
          printTable(
            listed,
            [
              { title: 'POLICY', value: ({ policyId }) => policyId },
              { title: 'COUNTS', value: ({ isActive }) => (isActive ? 'yes' : 'no') },
              { title: 'ACTIVE', value: numberOf('active'), align: 'right' },
              { title: 'SHADOW', value: numberOf('shadow'), align: 'right' },
              { title: 'DRAFT', value: numberOf('draft'), align: 'right' },
              { title: 'KIND', value: ({ type }) => type },
              { title: 'NAME', value: ({ name }) => name, mayCut: true },
            ],
            'No policies.',
          ),
      ),
  );
  return withExample(command, 'policies list');
}

const numberOf =
  (status: VersionStatus) =>
  ({ versions }: ListedPolicy): number | undefined =>
    versions.find((version) => version.status === status)?.version;

interface ShowOptions extends DataOptions {
  readonly version?: number;
  readonly yaml?: true;
}

function show(): Command {
  const command = readCommand('show', 'show a policy, its rules and its versions')
    .argument(...POLICY)
    .option('--version <number>', 'of this version (default: the active one, else the newest that counted)', count)
    .option('--yaml', 'print the document alone, to be saved as a file')
    .action(async (policyId: string, { version, yaml, ...options }: ShowOptions) => {
      const { documentYaml } = await import('../../policy/documentText.ts');
      await answer(
        options,
        async ({ policies }) => ({
          ...(await policies.versions.get(policyId, version)),
          versions: await policies.versions.list(policyId),
        }),
        (shown) => {
          if (yaml) print(documentYaml(shown.document).trimEnd());
          else printPolicy(shown);
        },
      );
    });
  return withExample(command, `policies show ${SOME_POLICY}`, `policies show ${SOME_POLICY} --version 1 --yaml`);
}

function printPolicy(shown: PolicyVersion & { readonly versions: readonly PolicyVersion[] }): void {
  const { versions, document, id: _id, policyId, ...version } = shown;
  const { name, description, type, applies_to: appliesTo, evaluation } = document;
  printFields({ policyId, name, description, type, appliesTo, evaluation, ...version });
  print('');
  printTable(
    document.rules,
    [
      { title: 'RULE', value: ({ id }) => id },
      { title: 'OUTCOME', value: ({ outcome, score }) => (score === undefined ? (outcome ?? 'review') : `+${score}`) },
      { title: 'ALERT', value: ({ alert }) => alert?.severity },
      { title: 'WHEN', value: ({ when }) => when, mayCut: true },
    ],
    '',
  );
  print('');
  printTable(
    versions,
    [
      { title: 'VERSION', value: ({ version: number }) => number, align: 'right' },
      { title: 'STATUS', value: ({ status }) => status },
      { title: 'SAVED', value: ({ createdAt }) => timeText(createdAt) },
      { title: 'BY', value: ({ createdBy }) => createdBy, mayCut: true },
      { title: 'PUBLISHED', value: ({ publishedAt }) => timeText(publishedAt) },
      { title: 'BY', value: ({ publishedBy }) => publishedBy, mayCut: true },
      { title: 'NOTE', value: ({ note }) => note, mayCut: true },
    ],
    '',
  );
}
