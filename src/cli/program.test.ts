import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { expect, test } from 'vitest';
import { shellWords } from '../../test/support/shellWords.ts';
import { invocation } from './invocation.ts';
import { createProgram } from './program.ts';

/** Every command that does something, with the names that lead to it. */
function commandsOf(parent: Command, path: readonly string[] = []): { path: readonly string[]; command: Command }[] {
  return parent.commands.flatMap((command) => {
    const own = [...path, command.name()];
    return command.commands.length > 0 ? commandsOf(command, own) : [{ path: own, command }];
  });
}

const names = commandsOf(createProgram()).map(({ path }) => path.join(' '));

function helpOf(name: string): string {
  let help = '';
  const { command } = commandsOf(createProgram()).find(({ path }) => path.join(' ') === name) ?? {};
  command?.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  return help;
}

test('has the commands that the issue names', () => {
  expect(names).toEqual(
    expect.arrayContaining([
      'start',
      'demo',
      'migrate',
      'doctor',
      'simulate',
      ...['create', 'list', 'show', 'update', 'delete', 'rotate-secret', 'suspend', 'resume', 'test'].map(
        named('webhooks'),
      ),
      ...['deliveries', 'attempts', 'retry', 'undelivered', 'stats'].map(named('webhooks')),
      ...['list', 'show', 'create', 'assign', 'review', 'escalate', 'resolve', 'dismiss', 'reopen', 'comment'].map(
        named('alerts'),
      ),
      ...['propose', 'attach', 'stats', 'watch'].map(named('alerts')),
      ...['list', 'show', 'validate', 'test', 'publish', 'shadow', 'diff', 'backtest', 'explain'].map(
        named('policies'),
      ),
      ...['list', 'show', 'add'].map(named('logs')),
      ...['add', 'list', 'remove'].map(named('keys')),
    ]),
  );
});

function named(parent: string) {
  return (name: string): string => `${parent} ${name}`;
}

test.each([
  { line: 'alerts list --sverity high', says: "unknown option '--sverity'\n(Did you mean --severity?)" },
  { line: 'alerts list --severity awful', says: 'Allowed choices are low, medium, high, critical.' },
  { line: 'alerts reopen alert_1', says: "required option '--reason <text>' not specified" },
  { line: 'webhooks create --url https://example.com', says: "required option '--events <names>' not specified" },
  { line: 'webhooks create --url https://example.com --events "*" --retry "{"', says: 'It must be JSON' },
  {
    line: 'webhooks create --url https://example.com --events "*" --header nonsense',
    says: 'of the form "name: value"',
  },
  { line: 'logs list --from yesterday', says: 'It must be a time such as 2026-12-31T17:00:00Z.' },
  { line: 'simulate --count 0', says: 'It must be 1 or more.' },
  { line: 'start --port 70000', says: 'It must be from 0 (any free one) to 65535.' },
  { line: 'keys add staging', says: 'Allowed choices are sandbox, production.' },
  { line: 'alerts', says: 'Usage: moonguard alerts' },
])('$line is refused with $says', async ({ line, says }) => {
  const program = createProgram();
  let told = '';
  for (const { command } of commandsOf(program)) {
    command.configureOutput({ writeErr: (text) => (told += text) }).action(() => {});
  }
  for (const command of program.commands) command.configureOutput({ writeErr: (text) => (told += text) });
  await expect(program.parseAsync(shellWords(line), { from: 'user' })).rejects.toBeInstanceOf(CommanderError);
  expect(told).toContain(says);
});

/** Which command each line would run. */
async function commandsRun(lines: readonly string[]): Promise<string[]> {
  const ran: string[] = [];
  for (const line of lines) {
    const program = createProgram();
    for (const { path, command } of commandsOf(program)) command.action(() => void ran.push(path.join(' ')));
    await program.parseAsync(shellWords(line), { from: 'user' });
  }
  return ran;
}

test.each(['README.md', 'docs/running.md', 'docs/alerts.md', 'docs/policies.md'])(
  'the commands in %s are accepted by the command line',
  async (page) => {
    const text = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');
    const lines = Array.from(text.matchAll(/^npm run moonguard -- ([^#\n]*)/gm), ([, line = '']) => line);
    expect(lines.length).toBeGreaterThan(1);
    expect(await commandsRun(lines)).toHaveLength(lines.length);
  },
);

test.each(names)('the examples in the help of %s are accepted by the command line', async (name) => {
  const prefix = `  ${invocation('')}`;
  const examples = helpOf(name)
    .split('\n')
    .filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length));
  expect(examples).not.toHaveLength(0);

  expect(await commandsRun(examples)).toEqual(examples.map(() => name));
});
