import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';

/** Months ago, eight years and more. In the odd ones every hundredth row stays, so that they go in batches, not as a whole. */
const MONTHS = [97, 98, 99, 100] as const;

/** Adds rows that are past their retention, with their leaves in the tree. Without triggers, which cost more than all the rest. */
export async function addExpiredRows(db: Db, count: number): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`set local session_replication_role = replica`.execute(transaction);
    for (const [place, monthsAgo] of MONTHS.entries()) {
      const rows = Math.floor((count * (place + 1)) / MONTHS.length) - Math.floor((count * place) / MONTHS.length);
      const first = sql`(date_trunc('month', now() at time zone 'UTC') - make_interval(months => ${monthsAgo}))`;
      await sql`select moonguard.ensure_policy_log_partition(${first}::date)`.execute(transaction);
      await addRows(transaction, { rows, first, retentionClass: 'standard' });
      if (monthsAgo % 2 === 1)
        await addRows(transaction, { rows: Math.ceil(rows / 100), first, retentionClass: 'us_sanctions' });
    }
  });
  await sql`vacuum analyze moonpay_policy_logs, moonguard.audit_leaves`.execute(db);
  // What filling left to be written is not measured.
  await sql`checkpoint`.execute(db);
}

async function addRows(
  transaction: Db,
  { rows, first, retentionClass }: { rows: number; first: ReturnType<typeof sql>; retentionClass: string },
): Promise<void> {
  await sql`
    with added as (
      insert into moonpay_policy_logs (id, log_id, policy_id, action_type, entity_type, entity_id, customer_id, rule_results, reason, source,
        retention_class, executed_at)
      select (left(moonguard.uuid_v7_floor(at)::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, 'past_' || gen_random_uuid(), 'velocity',
        'rule_triggered', 'customer', 'customer_' || place % 5000, 'customer_' || place % 5000, '{"result": "hit", "values": {"cards": 4}}',
        'The customer used 4 cards within 24 hours', 'past', ${retentionClass}, at
      from generate_series(1, ${rows}::integer) as place, lateral (select ${first} at time zone 'UTC' + place * interval '2 seconds' as at) as time
      returning id, executed_at
    )
    insert into moonguard.audit_leaves (leaf_index, kind, row_id, executed_at, salts)
    select (select coalesce(max(leaf_index) + 1, 0) from moonguard.audit_leaves) + row_number() over (order by executed_at) - 1, 'policy_log', id, executed_at,
      decode(repeat('5a', 144), 'hex') from added
  `.execute(transaction);
}

export async function countExpiredRows(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from moonpay_policy_logs where source = 'past' and retention_class = 'standard'
  `.execute(db);
  return rows[0]?.count ?? 0;
}
