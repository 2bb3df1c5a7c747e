import { type RawBuilder, sql } from 'kysely';
import type { AlertCondition } from '../alertFilter.ts';

/** That an alert satisfies every condition; there is at least one. */
export function alertMatches(conditions: readonly AlertCondition[]): RawBuilder<boolean> {
  return sql`(${sql.join(conditions.map(matches), sql` and `)})`;
}

function matches({ column, operator, values }: AlertCondition): RawBuilder<boolean> {
  if (operator === 'of group') return sql`id in (select id from moonguard.alerts_of_group(${values[0]}))`;
  const asked = sql`${sql.ref(column)} ${sql.raw(operator)}`;
  if (operator === 'is null' || operator === 'is not null') return sql`${asked}`;
  return operator === 'in'
    ? sql`${asked} (${values.length === 0 ? null : sql.join(values)})`
    : sql`${asked} ${values[0]}`;
}
