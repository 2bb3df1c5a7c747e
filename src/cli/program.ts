import { Command } from 'commander';
import { alertsCommand } from './commands/alerts.ts';
import { archiveCommand } from './commands/archive.ts';
import { auditCommand } from './commands/audit.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { holdsCommand } from './commands/holds.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { logsCommand } from './commands/logs.ts';
import { migrateCommand } from './commands/migrate.ts';
import { policiesCommand } from './commands/policies.ts';
import { retentionCommand } from './commands/retention.ts';
import { simulateCommand } from './commands/simulate.ts';
import { startCommand } from './commands/start.ts';
import { webhooksCommand } from './commands/webhooks.ts';
import { workerCommand } from './commands/worker.ts';
import { packageVersion } from './invocation.ts';

/** Every command. They only define themselves here; what they work with is loaded when one runs. */
export function createProgram(): Command {
  const program = new Command('moonguard')
    .description('Webhooks, compliance alerts and an append-only policy log for MoonPay, in your own database.')
    .version(packageVersion())
    .exitOverride()
    // --version of a policy is not that of the program.
    .enablePositionalOptions()
    .showHelpAfterError('Add --help for what there is.')
    .addHelpText(
      'after',
      '\nSettings are environment variables. Without DATABASE_URL the embedded database in ./data is used.',
    );
  program.commandsGroup('Run:').helpCommand(false);
  for (const make of [startCommand, workerCommand, demoCommand, simulateCommand]) program.addCommand(make());
  program.commandsGroup('Look after:');
  for (const make of [doctorCommand, migrateCommand, keysCommand, jobsCommand, retentionCommand, holdsCommand])
    program.addCommand(make());
  program.commandsGroup('Work with:');
  for (const make of [webhooksCommand, alertsCommand, policiesCommand, logsCommand, auditCommand, archiveCommand])
    program.addCommand(make());
  inheritSettings(program);
  return program;
}

/** Commands that are added ready-made do not take over by themselves how errors end. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}
