import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { RecordedDecision } from '../recordedDecision.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A decision by its id, by the id of the event that was decided on, or by a correlation id; of several the newest. */
export async function findDecision(db: Db, name: string): Promise<RecordedDecision | undefined> {
  const isNamed = uuid.test(name)
    ? sql`(id = ${name}::uuid or correlation_id in (${name}, ${`evt_${name}`}))`
    : sql`correlation_id = ${name}`;
  const { rows } = await sql<RecordedDecision>`
    select id, correlation_id, inputs, rule_results as summary
    from public.moonpay_policy_logs
    -- Callers of the log cannot set decision_id: what they write is no decision.
    where ${isNamed} and decision_id = id
    order by executed_at desc, id desc
    limit 1
  `.execute(db);
  return rows[0];
}
