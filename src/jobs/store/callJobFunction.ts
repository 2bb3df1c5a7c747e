import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { JsonValue } from '../../database/schema.generated.ts';

/** @param call of one of our functions, with constant arguments */
export async function callJobFunction(db: Db, call: string): Promise<JsonValue> {
  const { rows } = await sql<{ done: JsonValue }>`select to_jsonb(done) as done from ${sql.raw(call)} as done`.execute(
    db,
  );
  return rows[0]?.done ?? null;
}
