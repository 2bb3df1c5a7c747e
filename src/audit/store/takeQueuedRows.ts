import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { EntryKind } from '../entryKinds.ts';

export interface QueuedRow {
  readonly kind: EntryKind;
  readonly rowId: string;
  readonly executedAt: string;
  /** As to_json gives it. */
  readonly row: string;
}

export interface QueuedRows {
  readonly rows: readonly QueuedRow[];
  /** How long the oldest has waited, in milliseconds. */
  readonly waitedMs: number;
  /** Whether there may be more. */
  readonly isFull: boolean;
}

/** Takes up to `limit` rows out of the queue. A row that retention removed meanwhile is only taken out. */
export async function takeQueuedRows(transaction: Db, limit: number): Promise<QueuedRows> {
  const { rows: taken } = await sql<Omit<QueuedRow, 'row'> & { row: string | null; waitedMs: number }>`
    with taken as (
      delete from moonguard.audit_queue where id = any (array(select id from moonguard.audit_queue order by id limit ${limit}))
      returning id, kind, row_id, executed_at, queued_at
    )
    select q.kind, q.row_id as "rowId", q.executed_at::text as "executedAt",
      -- Not to_jsonb, as where rows are read to be verified: it sorts the members, in half of the time of this statement.
      case q.kind
        when 'policy_log' then (select to_json(l) from public.moonpay_policy_logs l where l.id = q.row_id and l.executed_at = q.executed_at)
        when 'alert_timeline' then (select to_json(t) from moonguard.alert_timeline t where t.id = q.row_id)
        when 'endpoint_change' then (select to_json(c) from moonguard.endpoint_changes c where c.id = q.row_id)
      end::text as row, (extract(epoch from clock_timestamp() - q.queued_at) * 1000)::float8 as "waitedMs"
    from taken q order by q.id
  `.execute(transaction);
  return {
    rows: taken.flatMap(({ row, ...queued }) => (row === null ? [] : [{ ...queued, row }])),
    waitedMs: Math.max(0, ...taken.map(({ waitedMs }) => waitedMs)),
    isFull: taken.length === limit,
  };
}
