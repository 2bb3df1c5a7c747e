import { Command } from 'commander';
import { dataDirectoryOption, withExample } from '../command.ts';
import { port } from '../optionValues.ts';
import { configOf } from '../session.ts';

interface DemoOptions {
  readonly once?: boolean;
  readonly port?: number;
  readonly dataDirectory?: string;
}

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('the whole life of made-up events, with a receiver on this machine, until Ctrl-C')
    .option('--once', 'end after the first round')
    .option('--port <number>', 'listen on this port (default: 3000, or any free one)', port)
    .addOption(dataDirectoryOption())
    .action(async ({ once = false, port: givenPort, dataDirectory }: DemoOptions) => {
      const { demo } = await import('../demo/demo.ts');
      const config = configOf({ dataDirectory });
      await demo({ ...config, port: givenPort ?? config.port }, { once });
    });
  return withExample(command, 'demo', 'demo --once --data-directory /tmp/moonguard-demo');
}
