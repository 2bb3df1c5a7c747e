import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Returns how many were not on the list. */
export async function addListValues(
  transaction: Db,
  name: string,
  values: readonly string[],
  note: string | undefined,
): Promise<number> {
  const { numAffectedRows } = await sql`
    insert into moonguard.policy_list_values (list_name, value, note)
    select ${name}, value, ${note ?? null}::text from jsonb_array_elements_text(${JSON.stringify(values)}::jsonb) as value
    on conflict do nothing
  `.execute(transaction);
  return Number(numAffectedRows);
}
