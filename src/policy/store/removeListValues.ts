import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Returns how many were on the list. */
export async function removeListValues(transaction: Db, name: string, values: readonly string[]): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from moonguard.policy_list_values
    where list_name = ${name} and value = any (array(select jsonb_array_elements_text(${JSON.stringify(values)}::jsonb)))
  `.execute(transaction);
  return Number(numAffectedRows);
}
