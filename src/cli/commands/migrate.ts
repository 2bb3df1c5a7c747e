import type { Command } from 'commander';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { print, printJson } from '../output.ts';
import { configOf } from '../session.ts';

export function migrateCommand(): Command {
  const command = readCommand('migrate', 'bring the database up to date, or show how far it is')
    .option('--status', 'change nothing; show what is there and what is missing')
    .action(async (options: DataOptions & { readonly status?: true }) => {
      const administration = await import('../../administration.ts');
      const config = configOf(options);
      if (options.status) {
        const status = await administration.readSchemaStatus(config);
        if (options.json) return printJson(status);
        print(`Version ${status.current} in the database, ${status.wanted} in this program.`);
        if (status.newer) print('A newer program has migrated it: update Moonguard.');
        if (status.pending.length > 0) print('Missing:', ...status.pending.map((name) => `  ${name}`));
        return;
      }
      const result = await administration.migrateDatabase(config);
      if (options.json) return printJson(result);
      if (result.applied.length > 0) print('Applied:', ...result.applied.map((name) => `  ${name}`));
      print(`${result.applied.length > 0 ? 'Up to date' : 'Nothing to do: up to date'}, version ${result.version}.`);
    });
  return withExample(command, 'migrate', 'migrate --status');
}
