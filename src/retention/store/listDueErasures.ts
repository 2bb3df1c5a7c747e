import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** A row by its key, and its class. */
export interface DueErasure {
  readonly id: string;
  /** With all the digits of the database. */
  readonly executedAt: string;
  readonly retentionClass: string;
}

/** Rows of a partition whose class ends personal data, past its days, in the order of id. */
export async function listDueErasures(
  db: Db,
  {
    partition,
    at,
    after,
    limit,
  }: { readonly partition: string; readonly at: Date; readonly after: string | null; readonly limit: number },
): Promise<DueErasure[]> {
  const { rows } = await sql<DueErasure>`
    select id, to_jsonb(executed_at) #>> '{}' as "executedAt", retention_class as "retentionClass"
    from moonguard.due_policy_logs('erase', ${partition}, ${at}, ${after}::uuid, ${limit})
  `.execute(db);
  return rows;
}
