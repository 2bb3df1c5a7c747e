import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';

/** The words that a CHECK constraint lists, sorted: what a closed list in the program must be equal to. */
export async function checkedWords(db: Db, table: string, constraint: string): Promise<string[]> {
  const { rows } = await sql<{ definition: string }>`
    select pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = ${table}::regclass and conname = ${constraint}
  `.execute(db);
  const definition = rows[0]?.definition;
  if (definition === undefined) throw new Error(`${table} has no constraint ${constraint}.`);
  return [...definition.matchAll(/'([^']*)'::text/g)].map(([, word = '']) => word).toSorted();
}
