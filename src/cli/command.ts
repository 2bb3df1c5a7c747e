import { userInfo } from 'node:os';
import { Command, Option } from 'commander';
import { environments } from '../observe/observation.ts';
import { invocation } from './invocation.ts';
import { integer } from './optionValues.ts';

/** Options of every command that works on the database. */
export interface DataOptions {
  readonly json?: true | undefined;
  readonly dataDirectory?: string | undefined;
}

/** Options of every command that changes something. */
export interface ChangeOptions extends DataOptions {
  readonly as: string;
}

export function dataDirectoryOption(): Option {
  return new Option('--data-directory <path>', 'directory of the embedded database (without DATABASE_URL)');
}

/** A command that reads the database. */
export function readCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--json', 'print one JSON document, for programs')
    .addOption(dataDirectoryOption());
}

/** A command that changes something in the database, in somebody's name. */
export function changeCommand(name: string, description: string): Command {
  return readCommand(name, description).option('--as <who>', 'who acts', userName());
}

/** A command that lists. */
export function listCommand(name: string, description: string): Command {
  return readCommand(name, description)
    .option('--limit <number>', 'how many, at most 200', integer, 50)
    .option('--cursor <text>', 'go on where the page before ended');
}

export function environmentOption(description: string): Option {
  return new Option('--environment <name>', description).choices(environments);
}

/** Shows at the end of the help how the command is called. */
export function withExample(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example' : 'Examples';
  return command.addHelpText('after', ['', `${title}:`, ...examples.map((each) => `  ${invocation(each)}`)].join('\n'));
}

/** A container may run as a user without a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'system';
  }
}
