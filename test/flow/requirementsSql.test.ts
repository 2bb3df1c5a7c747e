import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { migrate } from '../../src/database/migrate.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { fixtures } from '../support/adoption.ts';
import { requirementsCode, testWithShared } from '../support/besideCheckout.ts';
import { type EmptyDatabase, onEmbedded, onEveryPostgres, type Row } from '../support/emptyDatabase.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

function hasPsql(): boolean {
  try {
    execFileSync('psql', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const psqlIsHere = hasPsql();

/** What psql prints for a script, run where `\i` finds the file. */
function psql(url: string, script: string): string[] {
  const options = ['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1'];
  const output = execFileSync('psql', [...options, `--dbname=${url}`], { cwd: root, input: script, encoding: 'utf8' });
  return sorted(output.split('\n').filter((line) => line !== ''));
}

/** The same by the simple query protocol, for which `\i file` is the text of the file. */
function withFileInPlace(script: string): string {
  return script.replaceAll(/^\\i (.+)$/gm, (_, file: string) =>
    readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'),
  );
}

const starts: readonly [what: string, script: string][] = [
  ['an empty database', ''],
  ['one with the existing tables filled', fixtures('existing-tables.sql')],
  [
    'one with an earlier version of all tables',
    fixtures('supabase-roles.sql', 'existing-tables.sql', 'existing-tables-protected.sql', 'handmade-tables.sql'),
  ],
];

/** Something for the queries to find. */
const someRows = `
  insert into moonpay_webhook_config (url, environment, events) values ('https://new.example.com/hook', 'sandbox', '{*}');
  insert into moonpay_compliance_alerts (alert_type, severity, title) values ('pep_screening', 'critical', 'x'), ('pep_screening', 'critical', 'y');
  insert into moonpay_policy_logs (policy_id, policy_type, action_type, execution_status) values ('p', 'aml_policy', 'rule_failed', 'failure');`;

/** Each statement with what it gives, in the order of the requirements; the comments above them belong to them. */
async function runEach(block: string, run: (statement: string) => Promise<string[]>): Promise<string[][]> {
  const results: string[][] = [];
  for (const statement of block.split(';').filter((text) => text.trim() !== ''))
    results.push(await run(`${statement};`));
  return results;
}

/** Rows as psql prints them unaligned, sorted: the requirements ask for no order. */
function printed(rows: Row[]): string[] {
  return sorted(rows.map((row) => Object.values(row).map(printedValue).join('|')));
}

function printedValue(value: unknown): string {
  if (value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function sorted(lines: string[]): string[] {
  return lines.toSorted((x, y) => (x < y ? -1 : 1));
}

/** Installs twice, asks everything, and starts the program. */
async function follow(database: EmptyDatabase, run: (script: string) => Promise<string[]>): Promise<void> {
  const blocks = requirementsCode('sql');
  expect(blocks).toHaveLength(4);
  const [install = '', verify = '', maintain = '', monitor = ''] = blocks;

  const findings = await run(install);
  expect(await run(install)).toEqual(findings);
  await database.run(someRows);

  expect(await runEach(verify, run)).toEqual([
    ['moonpay_compliance_alerts', 'moonpay_policy_logs', 'moonpay_webhook_config'],
  ]);
  const [[removed] = [], [archived] = [], statistics = []] = await runEach(maintain, run);
  expect([removed, archived]).toEqual([expect.stringMatching(/^\d+$/), expect.stringMatching(/^\d+$/)]);
  expect(statistics).toEqual([expect.stringMatching(/^[1-9]\d*\|[1-9]\d*\|\d+\|/)]);
  const [severities, statuses, trends] = await runEach(monitor, run);
  expect(severities).toContain('critical|2');
  expect(statuses).toContainEqual(expect.stringMatching(/^active\|\d+$/));
  expect(trends).toContain('aml_policy|failure|1');

  expect(await migrate(await database.openProgram())).toEqual({ applied: [], version: readMigrationFiles().length });
}

const bySimpleQuery = (database: EmptyDatabase) => async (statement: string) =>
  printed(await database.run(withFileInPlace(statement)));
const bySimpleQueryBecause = 'the simple query protocol, because there is no psql on this machine';

onEveryPostgres(`the SQL of the requirements by ${psqlIsHere ? 'psql' : bySimpleQueryBecause}`, (create) => {
  testWithShared.each(starts)('runs as written on %s', async (_, script) => {
    const database = await create();
    await database.run(script);
    if (!psqlIsHere) console.warn('psql is not installed: its \\i was followed by the simple query protocol.');

    await follow(database, psqlIsHere ? async (statement) => psql(database.url, statement) : bySimpleQuery(database));
  });
});

onEmbedded('the SQL of the requirements by the simple query protocol', (create) => {
  testWithShared.each(starts)('runs as written on %s', async (_, script) => {
    const database = await create();
    await database.run(script);

    await follow(database, bySimpleQuery(database));
  });
});
