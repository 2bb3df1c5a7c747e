import { Command } from 'commander';
import { dataDirectoryOption, withExample } from '../command.ts';
import { port } from '../optionValues.ts';
import { configOf } from '../session.ts';

export interface StartOptions {
  readonly host?: string;
  readonly port?: number;
  readonly dataDirectory?: string;
  readonly migrate: boolean;
  readonly worker: boolean;
}

export function startCommand(): Command {
  const command = new Command('start')
    .description('receive webhooks and deliver them, until Ctrl-C')
    .option('--host <address>', 'listen on this address; 0.0.0.0 for all (default: 127.0.0.1)')
    .option('--port <number>', 'listen on this port; 0 for any free one (default: 3000)', port)
    .addOption(dataDirectoryOption())
    .option('--no-migrate', 'refuse to start when the database is not up to date, instead of bringing it up to date')
    .option('--no-worker', 'only receive: delivering and deciding is for `moonguard worker`')
    .action(async ({ migrate, worker, host, port: givenPort, dataDirectory }: StartOptions) => {
      const { start } = await import('../start.ts');
      const config = configOf({ dataDirectory });
      await start({ ...config, host: host ?? config.host, port: givenPort ?? config.port }, { migrate, worker });
    });
  return withExample(command, 'start', 'start --port 8080 --data-directory /var/lib/moonguard');
}
