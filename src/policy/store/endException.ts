import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ExceptionRow } from '../exception.ts';

/** Who ends it the database writes. Undefined: there is no such exception. */
export async function endException(transaction: Db, id: string): Promise<ExceptionRow | undefined> {
  return transaction
    .updateTable('moonguard.policy_exceptions')
    .set({ ended_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}
