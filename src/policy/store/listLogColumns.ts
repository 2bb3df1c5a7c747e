import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** The columns of the log in their order, those that a user added included. */
export async function listLogColumns(db: Db): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select attname as name from pg_catalog.pg_attribute
    where attrelid = 'public.moonpay_policy_logs'::regclass and attnum > 0 and not attisdropped order by attnum
  `.execute(db);
  return rows.map(({ name }) => name);
}
