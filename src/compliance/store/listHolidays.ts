import type { Db } from '../../database/database.ts';
import type { Holiday } from '../deadline.ts';

/** The earliest first. */
export async function listHolidays(db: Db): Promise<Holiday[]> {
  return db.selectFrom('moonguard.holidays').select(['day', 'name']).orderBy('day').execute();
}
