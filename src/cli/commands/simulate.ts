import { Command, Option } from 'commander';
import { environments } from '../../observe/observation.ts';
import { scenarioAbout, scenarioNames } from '../../simulate/scenario.ts';
import { dataDirectoryOption, withExample } from '../command.ts';
import { count, positive } from '../optionValues.ts';
import { configOf } from '../session.ts';
import type { SimulateOptions } from '../simulate.ts';

export function simulateCommand(): Command {
  const command = new Command('simulate')
    .description('send made-up events to a running server, signed as MoonPay signs')
    .addOption(
      new Option('--scenario <name>', 'which story they tell, or all of them')
        .choices([...scenarioNames, 'all'])
        .default('buy'),
    )
    .option('--count <events>', 'how many events (default: each scenario once)', count)
    .option('--rate <events>', 'events a second (default: one after the other)', positive)
    .option('--url <url>', 'the server (default: where `start` listens)')
    .addOption(new Option('--environment <name>', 'as whose events').choices(environments).default('sandbox'))
    .option('--key <key>', 'webhook key (default: the first of the settings or of the database)')
    .option('--json', 'print one JSON document, for programs')
    .addOption(dataDirectoryOption())
    .action(async (options: SimulateOptions) => {
      const { simulate } = await import('../simulate.ts');
      await simulate(options, configOf(options));
    })
    .addHelpText(
      'after',
      ['', 'Scenarios:', ...scenarioNames.map((name) => `  ${name.padEnd(20)} ${scenarioAbout(name)}`)].join('\n'),
    );
  return withExample(
    command,
    'simulate',
    'simulate --scenario identity_rejected',
    'simulate --scenario all --count 200 --rate 20',
  );
}
