import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Our tables without Row Level Security; `isAdopted`: the table was there before Moonguard. */
export async function findUnprotectedTables(db: Db): Promise<{ readonly name: string; readonly isAdopted: boolean }[]> {
  const { rows } = await sql<{ name: string; isAdopted: boolean }>`
    select format('%I.%I', n.nspname, c.relname) as name, adopted.table_name is not null as "isAdopted"
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join moonguard.adopted_tables adopted on n.nspname = 'public' and adopted.table_name = c.relname
    where c.relkind in ('r', 'p') and not c.relrowsecurity
      and (n.nspname in ('moonguard', 'moonguard_partitions') or n.nspname = 'public' and c.relname in (
        'moonpay_webhook_config', 'moonpay_compliance_alerts', 'moonpay_policy_logs',
        'moonpay_webhook_events', 'moonpay_transactions', 'moonpay_customers', 'moonpay_policies'))
    order by 1
  `.execute(db);
  return rows;
}
