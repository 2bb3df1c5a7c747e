import type { Db } from '../../database/database.ts';
import { rowNamed } from '../../database/rowNamed.ts';
import type { PolicyLogRow, PolicyLogWords } from '../policyLog.ts';

export async function findLogRow(db: Db, logId: string): Promise<PolicyLogRow | undefined> {
  return db
    .selectFrom('moonpay_policy_logs')
    .selectAll()
    .$narrowType<PolicyLogWords>()
    .where(rowNamed('log_id', logId))
    .executeTakeFirst();
}
