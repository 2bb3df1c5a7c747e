import type { Db } from '../../database/database.ts';
import type { AlertDeadline } from '../deadline.ts';

/** Adds the deadline of a severity, or replaces it. */
export async function putDeadline(transaction: Db, deadline: AlertDeadline): Promise<void> {
  const row = {
    severity: deadline.severity,
    minutes: deadline.minutes,
    in_business_hours: deadline.inBusinessHours,
    warn_before_minutes: deadline.warnBeforeMinutes,
    escalate_to: deadline.escalateTo,
  };
  await transaction
    .insertInto('moonguard.alert_deadlines')
    .values(row)
    .onConflict((conflict) => conflict.column('severity').doUpdateSet(row))
    .execute();
}
