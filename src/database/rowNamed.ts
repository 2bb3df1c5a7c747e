import { type RawBuilder, sql } from 'kysely';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** True for the row with this `id`, or with this name in `column`: people and programs may use either. */
export function rowNamed(column: string, name: string): RawBuilder<boolean> {
  const byName = sql<boolean>`${sql.ref(column)} = ${name}`;
  return uuid.test(name) ? sql`(id = ${name}::uuid or ${byName})` : byName;
}
