import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyLogCondition } from '../policyLogFilter.ts';
import type { PolicyLogQuery } from './listLogRows.ts';

/** The rows of a page of the log, the newest first, of which nothing is selected yet. */
export function logRows(db: Db, { conditions, text, after, limit }: PolicyLogQuery) {
  const rows = db.selectFrom('moonpay_policy_logs').orderBy('executed_at', 'desc').orderBy('id', 'desc');
  if (text !== undefined) {
    const found = sql`moonguard.search_policy_logs(${text}, ${JSON.stringify(conditions)}::jsonb,
      ${after?.at ?? null}::timestamptz, ${after?.id ?? null}::uuid, ${limit}::integer)`;
    return rows.where(sql<boolean>`(id, executed_at) in (select found.id, found.executed_at from ${found} as found)`);
  }
  const start = after && sql<boolean>`(executed_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`;
  return [...conditions.map(matches), ...(start === undefined ? [] : [start])].reduce(
    (narrowed, condition) => narrowed.where(condition),
    rows.limit(limit),
  );
}

function matches({ column, operator, values }: PolicyLogCondition): RawBuilder<boolean> {
  const asked = sql`${sql.ref(column)} ${sql.raw(operator)}`;
  return operator === 'in' ? sql`${asked} (${sql.join(values)})` : sql`${asked} ${values[0]}`;
}
