import type { Db } from '../../database/database.ts';
import type { Severity } from '../alert.ts';

/** Returns whether there was one. */
export async function removeDeadline(transaction: Db, severity: Severity): Promise<boolean> {
  const { numDeletedRows } = await transaction
    .deleteFrom('moonguard.alert_deadlines')
    .where('severity', '=', severity)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
