import type { Db } from '../../database/database.ts';

/** What follows from it the database writes: when, on which facts, by whom. Returns whether there is such a row. */
export async function updateSuppression(
  transaction: Db,
  id: string,
  change: { readonly approved_by: string } | { readonly ended_reason: string },
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('moonguard.alert_suppressions')
    .set(change)
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}
