import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** In the name of whom the transaction names; false when it is lifted already. */
export async function liftHold(transaction: Db, id: string, reason: string): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update moonguard.legal_holds
    set lifted_at = now(), lifted_by = coalesce(moonguard.current_actor(), session_user), lifted_reason = ${reason}
    where id = ${id}::uuid and lifted_at is null
  `.execute(transaction);
  return numAffectedRows === 1n;
}
