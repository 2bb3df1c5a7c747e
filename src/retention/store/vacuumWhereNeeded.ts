import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * Makes the room of dead rows usable again and refreshes the statistics, in the tables where a tenth of the rows is dead:
 * what autovacuum does on a server. Not within a transaction. Returns how many tables it did.
 */
export async function vacuumWhereNeeded(db: Db): Promise<number> {
  const { rows } = await sql<{ schema: string; name: string }>`
    select schemaname as schema, relname as name from pg_stat_user_tables
    where n_dead_tup > 500 + n_live_tup / 10
  `.execute(db);
  for (const { schema, name } of rows) await sql`vacuum (analyze) ${sql.id(schema, name)}`.execute(db);
  return rows.length;
}
