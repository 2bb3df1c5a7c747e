import type { Db } from '../../database/database.ts';

/** Returns whether it was one. */
export async function removeHoliday(transaction: Db, day: string): Promise<boolean> {
  const { numDeletedRows } = await transaction
    .deleteFrom('moonguard.holidays')
    .where('day', '=', day)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
