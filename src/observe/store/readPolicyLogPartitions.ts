import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface PolicyLogPartitions {
  /** Months without a partition among this one and the next three: `2026-12`. */
  readonly missingMonths: readonly string[];
  /** Rows that no month was there for. */
  readonly rowsInDefault: number;
}

export async function readPolicyLogPartitions(db: Db, now?: Date): Promise<PolicyLogPartitions> {
  const at = now === undefined ? sql`now()` : sql`${now}::timestamptz`;
  const { rows } = await sql<PolicyLogPartitions>`
    select coalesce(array_agg(to_char(month, 'YYYY-MM') order by month) filter (
        where to_regclass('moonguard_partitions.moonpay_policy_logs_' || to_char(month, 'YYYY_MM')) is null), '{}') as "missingMonths",
      (select count(*) from moonguard_partitions.moonpay_policy_logs_default) as "rowsInDefault"
    from generate_series(date_trunc('month', ${at}), date_trunc('month', ${at}) + interval '3 months', interval '1 month') as month
  `.execute(db);
  return rows[0] ?? { missingMonths: [], rowsInDefault: 0 };
}
