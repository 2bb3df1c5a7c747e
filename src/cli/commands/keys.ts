import { Argument, Command } from 'commander';
import { MoonguardError } from '../../errors.ts';
import { type Environment, environments } from '../../observe/observation.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { print, printTable, timeText } from '../output.ts';
import { newSandboxKey } from '../sandboxKey.ts';
import { readSecret } from '../secretInput.ts';
import { answer } from '../session.ts';

export function keysCommand(): Command {
  const keys = new Command('keys').description("MoonPay's webhook keys, which incoming events are verified with");
  for (const make of [add, listAll, remove]) keys.addCommand(make());
  return keys;
}

function add(): Command {
  const command = changeCommand('add', 'add a webhook key; it is asked for, or read from standard input')
    .addArgument(environmentArgument())
    .option('--generate', 'make one up and show it once: for the sandbox, without an account at MoonPay')
    .action(async (environment: Environment, options: ChangeOptions & { readonly generate?: true }) => {
      const made = options.generate ? generatedKey(environment) : undefined;
      const key = made ?? (await readSecret(`Webhook key of ${environment} (not shown): `));
      await answer(
        options,
        async ({ providerKeys }) => ({
          ...(await providerKeys.add(environment, key, { actor: options.as })),
          ...(made !== undefined && { key: made }),
        }),
        ({ fingerprint }) => {
          print(`Added the ${environment} key ${fingerprint}. A running server uses it within seconds.`);
          if (made !== undefined) print(`The key, shown this once: ${made}`);
        },
      );
    });
  return withExample(command, 'keys add production', 'keys add sandbox --generate');
}

function listAll(): Command {
  const command = readCommand('list', 'list webhook keys by their fingerprints').action((options: DataOptions) =>
    answer(
      options,
      ({ providerKeys }) => providerKeys.list(),
      (keys) =>
        printTable(
          keys,
          [
            { title: 'ENVIRONMENT', value: ({ environment }) => environment },
            { title: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint },
            { title: 'FROM', value: ({ source }) => (source === 'table' ? 'database' : 'settings') },
            { title: 'ADDED', value: ({ createdAt }) => timeText(createdAt) },
          ],
          'No webhook keys: every webhook is refused.',
        ),
    ),
  );
  return withExample(command, 'keys list');
}

function remove(): Command {
  const command = changeCommand('remove', 'remove a webhook key: what it signed is refused from now on')
    .addArgument(environmentArgument())
    .argument('<fingerprint>', 'as `keys list` shows it')
    .action((environment: Environment, fingerprint: string, options: ChangeOptions) =>
      answer(
        options,
        async ({ providerKeys }) => {
          await providerKeys.remove(environment, fingerprint);
          return { environment, removed: fingerprint };
        },
        ({ removed }) => print(`Removed the ${environment} key ${removed}.`),
      ),
    );
  return withExample(command, 'keys remove sandbox 3f1c09ab77de');
}

function environmentArgument(): Argument {
  return new Argument('<environment>', 'whose key').choices(environments);
}

function generatedKey(environment: Environment): string {
  if (environment === 'sandbox') return newSandboxKey();
  const message = 'A key of production is one that MoonPay has too: only the dashboard of MoonPay gives it.';
  throw new MoonguardError('provider_key_invalid', message);
}
