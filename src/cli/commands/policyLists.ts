import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import type { NewPolicyListInput } from '../../policy/policyList.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count } from '../optionValues.ts';
import { count as counted, print, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';

const LIST = ['<list>', 'name of the list'] as const;
const VALUES = ['[value...]', 'values'] as const;
const FILE = ['--file <path>', 'values from a file, one a line', linesOf] as const;

interface ValueOptions extends ChangeOptions {
  readonly file?: readonly string[];
}

export function listsCommand(): Command {
  const lists = new Command('lists').description('values that policies look up: wallets, customers, countries');
  for (const make of [listAll, create, show, add, remove, deleteList]) lists.addCommand(make());
  return lists;
}

function listAll(): Command {
  const command = readCommand('list', 'list the lists').action((options: DataOptions) =>
    answer(
      options,
      ({ policies }) => policies.lists.list(),
      (lists) =>
        printTable(
          lists,
          [
            { title: 'LIST', value: ({ name }) => name },
            { title: 'CASE', value: ({ isCaseSensitive }) => (isCaseSensitive ? 'matters' : 'is the same') },
            { title: 'MADE', value: ({ createdAt }) => timeText(createdAt) },
            { title: 'BY', value: ({ createdBy }) => createdBy, mayCut: true },
            { title: 'DESCRIPTION', value: ({ description }) => description, mayCut: true },
          ],
          'No lists.',
        ),
    ),
  );
  return withExample(command, 'policies lists list');
}

function create(): Command {
  const command = changeCommand('create', 'make a list')
    .argument(...LIST)
    .option('--description <text>', 'what is on it')
    .option('--ignore-case', 'look values up in lower case')
    .action(
      (
        name: string,
        {
          as: actor,
          description,
          ignoreCase = false,
          ...options
        }: ChangeOptions & Pick<NewPolicyListInput, 'description'> & { readonly ignoreCase?: boolean },
      ) =>
        answer(
          options,
          ({ policies }) => policies.lists.create({ name, description, isCaseSensitive: !ignoreCase }, { actor }),
          () => print(`Made ${name}. Rules name it as lists.${name}.`),
        ),
    );
  return withExample(command, 'policies lists create blocked_wallets --ignore-case --description "Wallets we refuse"');
}

function show(): Command {
  const command = readCommand('show', 'list what is on a list')
    .argument(...LIST)
    .option('--limit <number>', 'how many, at most 1000', count, 100)
    .option('--after <value>', 'go on after this value')
    .action((name: string, { limit, after, ...options }: DataOptions & { limit: number; after?: string }) =>
      answer(
        options,
        ({ policies }) => policies.lists.values(name, { limit, after }),
        (values) =>
          printTable(
            values,
            [
              { title: 'VALUE', value: ({ value }) => value },
              { title: 'ADDED', value: ({ addedAt }) => timeText(addedAt) },
              { title: 'BY', value: ({ addedBy }) => addedBy, mayCut: true },
              { title: 'NOTE', value: ({ note }) => note, mayCut: true },
            ],
            'Nothing is on it.',
          ),
      ),
    );
  return withExample(command, 'policies lists show blocked_wallets');
}

function add(): Command {
  const command = changeCommand('add', 'put values on a list; it counts from the next decision on')
    .argument(...LIST)
    .argument(...VALUES)
    .option(...FILE)
    .option('--note <text>', 'why')
    .action(
      (
        name: string,
        values: readonly string[],
        { as: actor, file = [], note, ...options }: ValueOptions & { readonly note?: string },
      ) =>
        answer(
          options,
          ({ policies }) => policies.lists.add(name, [...values, ...file], { actor, note }),
          (added) => print(`${counted(added, 'value', 'values')} more on ${name}.`),
        ),
    );
  return withExample(
    command,
    'policies lists add blocked_wallets 0xabc0000000000000000000000000000000000001 --note "Reported stolen"',
  );
}

function remove(): Command {
  const command = changeCommand('remove', 'take values off a list')
    .argument(...LIST)
    .argument(...VALUES)
    .option(...FILE)
    .action((name: string, values: readonly string[], { as: actor, file = [], ...options }: ValueOptions) =>
      answer(
        options,
        ({ policies }) => policies.lists.remove(name, [...values, ...file], { actor }),
        (removed) => print(`${counted(removed, 'value', 'values')} less on ${name}.`),
      ),
    );
  return withExample(command, 'policies lists remove blocked_wallets 0xabc0000000000000000000000000000000000001');
}

function deleteList(): Command {
  const command = changeCommand('delete', 'delete a list that no policy uses')
    .argument(...LIST)
    .action((name: string, { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        ({ policies }) => policies.lists.delete(name, { actor }),
        () => print(`${name} is deleted.`),
      ),
    );
  return withExample(command, 'policies lists delete blocked_wallets');
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  } catch (error) {
    throw new InvalidArgumentError(`It must be a file (${error instanceof Error ? error.message : String(error)}).`);
  }
}
