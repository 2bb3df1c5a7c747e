import type { MigrationFile } from './migrationFiles.ts';

/** SQLSTATEs of the installer itself, from the range that PostgreSQL leaves to others. */
export const SCHEMA_IS_NEWER = 'MG001';
export const MIGRATION_WAS_CHANGED = 'MG002';

/**
 * What comes before the migrations, inside the transaction. Both ways of installing, `migrate()` and the one-file
 * installer, run exactly these statements and `migrationBlock`s.
 */
export function prelude(files: readonly MigrationFile[]): string[] {
  return [
    'set local client_min_messages = warning;',
    // The lock is waited for as long as it takes: another installer may be at work.
    'set local statement_timeout = 0;',
    'set local lock_timeout = 0;',
    // Any number, the same in every version.
    'do $moonguard_install$ begin perform pg_catalog.pg_advisory_xact_lock(7046029254386353131); end $moonguard_install$;',
    // From here on other transactions hold what we wait for, and everybody else queues behind us: give up rather.
    "set local lock_timeout = '10s';",
    `do $moonguard_install$
begin
  if pg_catalog.to_regnamespace('moonguard') is null then
    create schema moonguard;
  end if;
  if pg_catalog.to_regclass('moonguard.schema_migrations') is null then
    create table moonguard.schema_migrations (
      number int primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now(),
      applied_by text not null default current_user
    );
    comment on table moonguard.schema_migrations is 'The migrations that were applied, with the SHA-256 of their text.';
  end if;
  if exists (select from moonguard.schema_migrations where number > ${files.length}) then
    raise exception using
      errcode = '${SCHEMA_IS_NEWER}',
      message = 'this database was migrated by a newer version of Moonguard',
      hint = 'Update Moonguard, or use the installer of the newer version.';
  end if;
end
$moonguard_install$;`,
  ];
}

/** Applies one migration where its number is missing, and refuses to go on where another text has that number. */
export function migrationBlock({ number, name, checksum, sql }: MigrationFile): string {
  const quote = `$moonguard_${String(number).padStart(4, '0')}$`;
  return `do $moonguard_install$
declare
  v_applied text := (select checksum from moonguard.schema_migrations where number = ${number});
begin
  if v_applied is null then
    execute ${quote}
${sql.trimEnd()}
${quote};
    insert into moonguard.schema_migrations (number, name, checksum) values (${number}, '${name}', '${checksum}');
  elsif v_applied <> '${checksum}' then
    raise exception using
      errcode = '${MIGRATION_WAS_CHANGED}',
      message = 'the migration ${name} that was applied here had another text',
      hint = 'Migrations never change once released. Use the files of the version that installed this database, or a newer one.';
  end if;
end
$moonguard_install$;`;
}

/** The one-file installer. It needs nothing of psql, so that the Supabase SQL editor takes it too. */
export function installerSql(files: readonly MigrationFile[]): string {
  return `-- Moonguard: everything it needs in a PostgreSQL 15 to 18 or Supabase database. Generated from migrations/ by
-- \`npm run installer\`; do not edit.
--
-- psql:      psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f scripts/sql/moonpay-additional-tables.sql
-- Supabase:  paste the whole file into the SQL editor and run it.
--
-- It is one transaction: it either works or changes nothing. Run it again whenever you like: it applies what is missing.
-- The result is what the installer found in existing tables and could not put right by itself; no rows: nothing.

begin;

${[...prelude(files), ...files.map(migrationBlock)].join('\n\n')}

commit;

select table_name, reason, resolution, count(*) as rows
from moonguard.installation_findings
where resolution not like 'corrected:%'
group by table_name, reason, resolution
order by table_name, reason;
`;
}
