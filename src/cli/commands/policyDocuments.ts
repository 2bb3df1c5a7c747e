import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Problem } from '../../errors.ts';
import type { CheckedFile } from '../../policy/policyFiles.ts';
import type { CaseResult } from '../../policy/runCases.ts';
import { type ChangeOptions, changeCommand, withExample } from '../command.ts';
import { count, print, printJson } from '../output.ts';
import { answer } from '../session.ts';
import { printable } from '../table.ts';

/** Two folders up from src/cli, and from dist/cli alike. */
const schemaFile = new URL('../../../docs/policy.schema.json', import.meta.url);

const FILES = ['<file...>', 'a policy in YAML or JSON'] as const;

/** Commands on policies as files. All but `save` work without a database. */
export function documentCommands(): Command[] {
  return [validate(), test(), save(), schema()];
}

interface FileOptions {
  readonly json?: true;
}

function validate(): Command {
  const command = fileCommand('validate', 'check policies as a whole: form, names, types, limits')
    .argument(...FILES)
    .action(async (files: readonly string[], { json }: FileOptions) => {
      const { readPolicyFile } = await import('../../policy/policyFiles.ts');
      const checked = files.map(readPolicyFile);
      if (json) printJson(checked.map((read) => ({ file: read.file, problems: problemsOf(read) })));
      else print(...checked.flatMap(checkedLines));
      if (checked.some((read) => problemsOf(read).length > 0)) process.exitCode = 1;
    });
  return withExample(command, 'policies validate policies/*.yaml');
}

function test(): Command {
  const command = fileCommand('test', 'evaluate policies on the cases in their own files')
    .argument(...FILES)
    .action(async (files: readonly string[], { json }: FileOptions) => {
      const { documentOfFile } = await import('../../policy/policyFiles.ts');
      const { runCases } = await import('../../policy/runCases.ts');
      const tested = files.map((file) => ({ file, cases: runCases(documentOfFile(file)) }));
      const cases = tested.flatMap(({ cases: ofFile }) => ofFile);
      const failed = cases.filter(({ problems }) => problems.length > 0).length;
      if (json) printJson(tested);
      else {
        for (const { file, cases: ofFile } of tested) print(file, ...ofFile.flatMap(caseLines), '');
        print(`${count(cases.length, 'case', 'cases')}, ${failed} failed.`);
      }
      if (failed > 0) process.exitCode = 1;
    });
  return withExample(command, 'policies test policies/card_velocity.yaml');
}

function save(): Command {
  const command = changeCommand('save', 'save a policy as a draft, which counts once it is published')
    .argument('<file>', FILES[1])
    .option('--note <text>', 'why, for the log')
    .action(async (file: string, { as: actor, note, ...options }: ChangeOptions & { readonly note?: string }) => {
      const { documentOfFile } = await import('../../policy/policyFiles.ts');
      const document = documentOfFile(file);
      await answer(
        options,
        ({ policies }) => policies.versions.saveDraft(document, { actor, reason: note }),
        ({ policyId, version }) => print(`Version ${version} of ${policyId} is saved as a draft.`),
      );
    });
  return withExample(command, 'policies save policies/card_velocity.yaml --note "Limit as agreed with the bank"');
}

function schema(): Command {
  const command = new Command('schema').description('print the JSON Schema of a policy, for editors').action(() => {
    print(readFileSync(schemaFile, 'utf8').trimEnd());
  });
  return withExample(command, 'policies schema');
}

/** A command that needs no database. */
function fileCommand(name: string, description: string): Command {
  return new Command(name).description(description).option('--json', 'print one JSON document, for programs');
}

const problemsOf = (read: CheckedFile): readonly Problem[] => ('problems' in read ? read.problems : []);

/** `file: rules.2.when: what is wrong`; the message says the line. */
function checkedLines(read: CheckedFile): string[] {
  if ('document' in read) return [`${read.file}: ${read.document.id} is valid`];
  return read.problems.map(({ field, message }) =>
    printable([read.file, field, message].filter((part) => part !== '').join(': ')),
  );
}

function caseLines({ name, problems }: CaseResult): string[] {
  return [
    `  ${problems.length === 0 ? 'passed' : 'FAILED'}  ${name}`,
    ...problems.map((problem) => printable(`          ${problem}`)),
  ];
}
