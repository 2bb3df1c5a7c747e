import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Moonguard } from '../../moonguard.ts';
import type { PlannedPolicy, PolicyPlan } from '../../policy/policyPlan.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count, print, printJson } from '../output.ts';
import { answer, withMoonguard } from '../session.ts';
import { changeLines } from './policyVersions.ts';

const FOLDER = ['<folder>', 'of policies in YAML or JSON'] as const;

/** Commands for policies that are kept as files in a repository. */
export function applyCommands(): Command[] {
  return [plan(), apply()];
}

function plan(): Command {
  const command = readCommand('plan', 'show what applying a folder of policies would change')
    .argument(...FOLDER)
    .action((folder: string, options: DataOptions) =>
      answer(options, (moonguard) => planOf(moonguard, folder), printPlan),
    );
  return withExample(command, 'policies plan policies/');
}

interface ApplyOptions extends ChangeOptions {
  readonly publish?: true;
  readonly yes?: true;
  readonly note?: string;
}

function apply(): Command {
  const command = changeCommand('apply', 'save what is new or changed in a folder of policies; all of it or nothing')
    .argument(...FOLDER)
    .option('--publish', 'publish it too')
    .option('--yes', 'do not ask')
    .option('--note <text>', 'why, for the log')
    .action(async (folder: string, { publish, yes, note, as: actor, ...options }: ApplyOptions) =>
      withMoonguard(options, async (moonguard) => {
        const { applyPlan } = await import('../../policy/policyPlan.ts');
        const planned = await planOf(moonguard, folder);
        if (options.json) printJson(planned);
        else printPlan(planned);
        const todo = planned.policies.filter(
          ({ change }) => change === 'new' || change === 'changed' || (publish && change === 'saved'),
        );
        if (
          todo.length === 0 ||
          !(
            yes || (await isAgreed(`Save ${publish ? 'and publish ' : ''}${count(todo.length, 'policy', 'policies')}?`))
          )
        )
          return;
        await applyPlan(moonguard, planned, { publishes: publish === true, actor, reason: note });
        if (!options.json)
          print(`${count(todo.length, 'policy is', 'policies are')} saved${publish ? ' and active' : ' as drafts'}.`);
      }),
    );
  return withExample(
    command,
    'policies apply policies/',
    'policies apply policies/ --publish --yes --note "Release 42"',
  );
}

async function planOf({ policies }: Moonguard, folder: string): Promise<PolicyPlan> {
  const { readPolicyFolder } = await import('../../policy/policyFiles.ts');
  const { planPolicies } = await import('../../policy/policyPlan.ts');
  return planPolicies(policies, readPolicyFolder(folder));
}

function printPlan({ policies, onlyInDatabase }: PolicyPlan): void {
  for (const policy of policies) print(...planLines(policy));
  for (const policyId of onlyInDatabase) print(`only in the database  ${policyId}`);
  const changing = policies.filter(({ change }) => change !== 'unchanged').length;
  print('', `${count(policies.length, 'policy', 'policies')}, ${changing} not active as the files have them.`);
}

function planLines({ change, document, file, activeVersion, differences }: PlannedPolicy): string[] {
  const active = activeVersion === undefined ? 'no version is active' : `version ${activeVersion} is active`;
  const line = `${change.padEnd(20)}  ${document.id}  (${file}; ${active})`;
  return [line, ...differences.flatMap(changeLines).map((text) => `    ${text}`)];
}

/** Nobody who could agree is no agreement. */
async function isAgreed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
