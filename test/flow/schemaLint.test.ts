import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { installerSql } from '../../src/database/installer.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { fixtures } from '../support/adoption.ts';
import { onEveryPostgres, onEveryServer } from '../support/emptyDatabase.ts';

const installer = installerSql(readMigrationFiles());
const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

function tool(name: string): string {
  return join(root, 'node_modules/.bin', name);
}

interface Advice {
  readonly name: string;
  readonly detail: string;
}

/** Findings of Supabase's linter at level info and above, but for indexes that nobody has used yet. */
async function supabaseAdvice(url: string): Promise<string[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'moonguard-advisors-'));
  try {
    const options = ['--level=info', '--fail-on=none', '--output-format=json'];
    const { stdout } = await run(tool('supabase'), ['db', 'advisors', `--remote=${url}?sslmode=disable`, ...options], {
      cwd: scratch,
    });
    const { results }: { results: Advice[] } = JSON.parse(stdout);
    return results.filter(({ name }) => name !== 'unused_index').map(({ name, detail }) => `${name}: ${detail}`);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

onEveryPostgres("Supabase's linter", (create) => {
  test('has nothing to say about the schema, also where everything is granted to everybody by default', async () => {
    const database = await create();
    await database.run(`${fixtures('supabase-roles.sql')}
      alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
      alter default privileges in schema public grant all on functions to anon, authenticated, service_role;`);
    await database.run(installer);

    expect(await supabaseAdvice(database.url)).toEqual([]);
  });

  test('would say it', async () => {
    const database = await create();
    await database.run(
      `${installer}; create table public.open_to_all (id int); grant select on public.open_to_all to anon`,
    );

    expect(await supabaseAdvice(database.url)).toEqual([
      expect.stringMatching(/^no_primary_key: /),
      expect.stringMatching(/^rls_disabled_in_public: /),
    ]);
  });
});

test('squawk finds nothing in the migrations that is not explained', async () => {
  const { stdout } = await run(
    tool('squawk'),
    ['--reporter=json', ...readdirSync(join(root, 'migrations')).map((name) => `migrations/${name}`)],
    {
      cwd: root,
    },
  );

  expect(JSON.parse(stdout)).toEqual([]);
  const settings = readFileSync(join(root, '.squawk.toml'), 'utf8');
  const excluded = settings.slice(settings.indexOf('excluded_rules'));
  // Every group of excluded rules has the reason above it.
  expect(excluded).toMatch(/excluded_rules = \[\n(( {2}# .+\n)+( {2}"[\w-]+",\n)+)+\]/);
  for (const { name, sql } of readMigrationFiles()) {
    // squawk heeds it right above the statement only.
    for (const [ignored] of sql.matchAll(/.*\n.*squawk-ignore.*/g))
      expect(ignored, name).toMatch(/^-- \S.*\n-- squawk-ignore [\w-]+$/);
  }
});

onEveryServer('every object of ours', (create) => {
  test('has what the rules of the house ask for', async () => {
    const database = await create();
    await database.run(installer);
    const names = async (query: string) => (await database.run(query)).map(({ name }) => name);

    expect(
      await names(`select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('moonguard', 'public') and not coalesce('search_path=""' = any (p.proconfig), false)`),
      'functions without a search_path of their own',
    ).toEqual([]);
    expect(
      await names(`select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('moonguard', 'public') and p.proconfig::text like '%enable_%' and not 'jit=off' = any (p.proconfig)`),
      // Ways that are switched off cost 10^10 each in the eyes of the planner, so that it compiles: seconds, for nothing.
      'functions that choose their plans and let them be compiled',
    ).toEqual([]);
    expect(
      await names(`select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('moonguard', 'public') and has_function_privilege('public', p.oid, 'execute')`),
      'functions that everybody may call',
    ).toEqual([]);
    expect(
      await names(`select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('moonguard', 'public') and p.prosecdef and p.prorettype <> 'trigger'::regtype
          and has_function_privilege('authenticated', p.oid, 'execute')`),
      'functions with rights of the owner that a signed-in user may call',
      // They ask what the caller may read before they look, and give ids alone: 0022 and 0031 say why.
    ).toEqual([
      'moonguard.search_alerts(text,jsonb,timestamp with time zone,uuid,integer)',
      'moonguard.search_policy_logs(text,jsonb,timestamp with time zone,uuid,integer)',
    ]);
    expect(
      await names(`select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('moonguard', 'public', 'moonguard_partitions') and c.relkind in ('r', 'p') and not c.relrowsecurity`),
      'tables without Row Level Security',
    ).toEqual([]);
    expect(
      await names(`select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('moonguard', 'public') and c.relkind in ('r', 'p', 'v') and obj_description(c.oid, 'pg_class') is null`),
      'tables and views without a comment',
    ).toEqual([]);
    expect(
      await names(`select format('%s.%s', a.attrelid::regclass, a.attname) as name from pg_attribute a
        where a.attrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v'))
          and a.attnum > 0 and not a.attisdropped and col_description(a.attrelid, a.attnum) is null`),
      'columns without a comment',
    ).toEqual([]);
    expect(
      await names(`select format('%s.%s', conrelid::regclass, conname) as name from pg_constraint
        where connamespace in ('public'::regnamespace, 'moonguard'::regnamespace) and contype = 'c' and not convalidated`),
      'checks that were not validated',
    ).toEqual([]);
  });
});
