import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { type EntryKind, entryKinds, longestSalts, saltsLength } from '../entryKinds.ts';

export interface SequencedRow {
  readonly kind: EntryKind;
  /** As to_json gives it. */
  readonly row: string;
  readonly salts: Buffer;
}

export interface SequencedRows {
  /** In the order of their leaves. */
  readonly rows: readonly SequencedRow[];
  /** How long the oldest has waited, in milliseconds. */
  readonly waitedMs: number;
}

export interface RowsToSequence {
  /** At most. */
  readonly count: number;
  /** Index of the first leaf. */
  readonly first: bigint;
  /** For so many rows of any kind; each stores as much of its share as its kind needs. */
  readonly salts: Buffer;
}

/**
 * Takes rows out of the queue, makes them leaves and gives what they hold. One statement: to say again which rows these
 * are took a fifth of the sequencer's time. A row that retention removed meanwhile is only taken out.
 */
export async function sequenceRows(transaction: Db, { count, first, salts }: RowsToSequence): Promise<SequencedRows> {
  const saltsLengths = entryKinds.map((kind) => sql`when ${kind} then ${saltsLength(kind)}::integer`);
  const { rows: taken } = await sql<{ kind: EntryKind; row: string | null; waitedMs: number }>`
    with taken as (
      delete from moonguard.audit_queue where id = any (array(select id from moonguard.audit_queue order by id limit ${count}))
      returning id, kind, row_id, executed_at, queued_at
    ),
    read as (
      select q.id, q.kind, q.row_id, q.executed_at, q.queued_at,
        -- Not to_jsonb, as where rows are read to be verified: it sorts the members, in half of the time of this statement.
        case q.kind
          when 'policy_log' then (select to_json(l) from public.moonpay_policy_logs l where l.id = q.row_id and l.executed_at = q.executed_at)
          when 'alert_timeline' then (select to_json(t) from moonguard.alert_timeline t where t.id = q.row_id)
          when 'endpoint_change' then (select to_json(c) from moonguard.endpoint_changes c where c.id = q.row_id)
        end::text as row
      from taken q
    ),
    leaves as (
      insert into moonguard.audit_leaves (leaf_index, kind, row_id, executed_at, salts)
      select ${String(first)}::bigint + place, kind, row_id, executed_at,
        substring(${salts}::bytea from place::integer * ${longestSalts} + 1 for case kind ${sql.join(saltsLengths, sql` `)} end)
      from (select row_number() over (order by id) - 1 as place, kind, row_id, executed_at from read where row is not null) as placed
    )
    select kind, row, (extract(epoch from clock_timestamp() - queued_at) * 1000)::float8 as "waitedMs" from read order by row is null, id
  `.execute(transaction);
  return {
    rows: taken.flatMap(({ kind, row }, place) => {
      if (row === null) return [];
      const from = place * longestSalts;
      return [{ kind, row, salts: salts.subarray(from, from + saltsLength(kind)) }];
    }),
    waitedMs: Math.max(0, ...taken.map(({ waitedMs }) => waitedMs)),
  };
}
