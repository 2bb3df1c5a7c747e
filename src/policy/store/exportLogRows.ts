import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyLogQuery } from './listLogRows.ts';
import { logRows } from './logRows.ts';

export interface ExportedRow {
  readonly id: string;
  readonly position: string;
  /** The row as JSON, by the names of its columns. */
  readonly json: string;
  /** The columns asked for, each as text; null: there is no value. */
  readonly cells: readonly (string | null)[];
}

/** As listLogRows, but as text: a number of JavaScript would lose digits that jsonb keeps. */
export async function exportLogRows(db: Db, query: PolicyLogQuery, columns: readonly string[]): Promise<ExportedRow[]> {
  return logRows(db, query)
    .select([
      'id',
      sql<string>`to_jsonb(executed_at) #>> '{}'`.as('position'),
      sql<string>`to_jsonb(moonpay_policy_logs)::text`.as('json'),
      sql<(string | null)[]>`array(select to_jsonb(moonpay_policy_logs) ->> name
        from unnest(${columns}::text[]) with ordinality as wanted (name, place) order by place)`.as('cells'),
    ])
    .execute();
}
