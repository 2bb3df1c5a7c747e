import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

// Long ago pg_cron only knew minutes; seconds came with 1.5.
const schedule = sql`case when every_seconds < 60 then every_seconds || ' seconds'
  when every_seconds < 3600 then '*/' || every_seconds / 60 || ' * * * *'
  when every_seconds < 86400 then '7 */' || every_seconds / 3600 || ' * * *'
  else '7 3 * * *' end`;

export async function isPgCronThere(db: Db): Promise<boolean> {
  const { rows } = await sql<{ isThere: boolean }>`
    select to_regprocedure('cron.schedule(text,text,text)') is not null as "isThere"
  `.execute(db);
  return rows[0]?.isThere ?? false;
}

export async function scheduleOnPgCron(db: Db): Promise<string[]> {
  await sql`
    select cron.schedule('moonguard ' || name, ${schedule}, format('select moonguard.run_job(%L)', name))
    from moonguard.jobs where sql_call is not null order by name
  `.execute(db);
  return changed(db, true);
}

export async function takeFromPgCron(db: Db): Promise<string[]> {
  await sql`select cron.unschedule('moonguard ' || name) from moonguard.jobs where is_on_pg_cron order by name`.execute(
    db,
  );
  return changed(db, false);
}

async function changed(db: Db, isOnPgCron: boolean): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    update moonguard.jobs set is_on_pg_cron = ${isOnPgCron} where sql_call is not null returning name
  `.execute(db);
  return rows.map(({ name }) => name).toSorted();
}
