import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Months that are over and have partitions, or rows in the default one, as `2026-10-01`; the oldest first. */
export async function listMonthsToArchive(db: Db, now?: Date): Promise<string[]> {
  const { rows } = await sql<{ month: string }>`
    select month::date from (
      select to_date(substring(c.relname from '^moonpay_policy_logs_(\d{4}_\d{2})$'), 'YYYY_MM')::timestamp as month
      from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'public.moonpay_policy_logs'::regclass
      union
      select date_trunc('month', executed_at at time zone 'UTC') from moonguard_partitions.moonpay_policy_logs_default
      where executed_at >= '0001-01-01T00:00:00Z' and executed_at < '9999-12-01T00:00:00Z'
    ) as months
    where month + interval '1 month' <= coalesce(${now ?? null}::timestamptz, now()) at time zone 'UTC'
    order by month
  `.execute(db);
  return rows.map(({ month }) => month);
}
