import type { Db } from '../../database/database.ts';
import type { Holiday } from '../deadline.ts';

/** Adds the day, or gives it another name. */
export async function putHoliday(transaction: Db, holiday: Holiday): Promise<void> {
  await transaction
    .insertInto('moonguard.holidays')
    .values(holiday)
    .onConflict((conflict) => conflict.column('day').doUpdateSet(holiday))
    .execute();
}
