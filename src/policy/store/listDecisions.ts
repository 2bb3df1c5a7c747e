import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { DECISION } from '../decisionRows.ts';
import type { RecordedDecision } from '../recordedDecision.ts';

export interface DecisionPeriod {
  /** Decided at this time or later. */
  readonly from?: Date | undefined;
  /** Decided before this time. */
  readonly to?: Date | undefined;
}

/** `position` is `executed_at` with all its digits: a Date has only milliseconds. */
export interface ListedDecision extends RecordedDecision {
  readonly position: string;
}

/** Decisions of a period, the oldest first, from behind `after` on. */
export async function listDecisions(
  db: Db,
  { from, to }: DecisionPeriod,
  { after, limit }: { readonly after: ListedDecision | undefined; readonly limit: number },
): Promise<ListedDecision[]> {
  const isAfter =
    after === undefined ? sql`true` : sql`(executed_at, id) > (${after.position}::timestamptz, ${after.id}::uuid)`;
  const { rows } = await sql<ListedDecision>`
    select id, correlation_id, inputs, rule_results as summary, to_jsonb(executed_at) #>> '{}' as position
    from public.moonpay_policy_logs
    where policy_id = ${DECISION} and decision_id = id and ${isAfter}
      and executed_at >= coalesce(${from ?? null}::timestamptz, '-infinity')
      and executed_at < coalesce(${to ?? null}::timestamptz, 'infinity')
    order by executed_at, id
    limit ${limit}
  `.execute(db);
  return rows;
}
