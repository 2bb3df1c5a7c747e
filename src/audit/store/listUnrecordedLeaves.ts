import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** First leaves of removals and erasures whose row of the log is not there, or says something else. */
export async function listUnrecordedLeaves(db: Db): Promise<bigint[]> {
  const { rows } = await sql<{ index: string }>`
    with said as materialized (
      select id, policy_id, (metadata ->> 'leaf_indexes')::int8multirange as leaf_indexes from public.moonpay_policy_logs
      where policy_id in ('moonguard_retention', 'moonguard_erasure') and jsonb_typeof(metadata -> 'leaf_indexes') = 'string'
    )
    select lower(r.leaf_indexes)::text as index from moonguard.audit_removals r
    where not exists (
      select from said where said.id = r.record_id and said.policy_id = 'moonguard_retention' and said.leaf_indexes = r.leaf_indexes)
    union all
    select e.leaf_index::text from moonguard.audit_erasures e
    where not exists (
      select from said where said.id = e.record_id and said.policy_id = 'moonguard_erasure' and said.leaf_indexes @> e.leaf_index)
    order by 1
  `.execute(db);
  return rows.map(({ index }) => BigInt(index));
}
