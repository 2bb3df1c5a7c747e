import { MAXIMUM_MERGE_DELAY_MS } from '../audit/mergeDelay.ts';
import { readProgress } from '../audit/store/readProgress.ts';
import type { Database } from '../database/database.ts';
import { type Check, ok, warning } from './check.ts';

/** Whether what is logged gets under a signature in time. */
export async function checkAuditLog(database: Database): Promise<Check> {
  const { size, signedAt, queued, oldestQueuedSeconds, hasKey } = await readProgress(database.db);
  const waiting = `${queued} rows wait for a signature, the oldest for ${Math.round(oldestQueuedSeconds)} s`;
  const isLate = oldestQueuedSeconds * 1000 > MAXIMUM_MERGE_DELAY_MS;
  if (isLate && !hasKey) {
    return warning(
      'audit log',
      `${waiting}; the log has no key`,
      'Make one with moonguard audit key --name <host and path of yours>, and start a server with it as MOONGUARD_LOG_KEY.',
    );
  }
  if (isLate) {
    return warning(
      'audit log',
      waiting,
      'Is a server running that has the key of the log (MOONGUARD_LOG_KEY)? If so, its log says why it does not sign: audit.sequence_failed.',
    );
  }
  if (signedAt === null) return ok('audit log', 'nothing is signed yet, nothing is late');
  return ok('audit log', `${size} rows under the checkpoint of ${signedAt.toISOString()}`);
}
