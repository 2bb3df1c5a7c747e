import type { Command } from 'commander';
import type { Check } from '../../observe/check.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { count, print, printJson } from '../output.ts';
import { configOf } from '../session.ts';

const marks: Readonly<Record<Check['status'], string>> = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' };
const INDENT = ' '.repeat(30);

export function doctorCommand(): Command {
  const command = readCommand('doctor', 'look at everything an installation needs, and say what to do')
    .addHelpText('after', '\nEnds with 0 when there is no problem, with 1 when there is one; warnings do not count.')
    .action(async (options: DataOptions) => {
      const { diagnose } = await import('../../administration.ts');
      const checks = await diagnose(configOf(options));
      const problems = checks.filter(({ status }) => status === 'problem').length;
      const warnings = checks.filter(({ status }) => status === 'warning').length;
      if (options.json) printJson({ healthy: problems === 0, checks });
      else {
        for (const check of checks) print(...checkLines(check));
        print(
          '',
          `${checks.length} checks: ${count(problems, 'problem', 'problems')}, ${count(warnings, 'warning', 'warnings')}.`,
        );
      }
      if (problems > 0) process.exitCode = 1;
    });
  return withExample(command, 'doctor');
}

function checkLines({ name, status, message, action }: Check): string[] {
  const [first = '', ...further] = message.split('\n');
  return [
    `${marks[status].padEnd(8)} ${name.padEnd(20)} ${first}`,
    ...further.map((line) => INDENT + line),
    ...(action === undefined ? [] : [`${INDENT}→ ${action}`]),
  ];
}
