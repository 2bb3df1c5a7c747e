import type { Database } from '../database/database.ts';
import { type Check, ok, warning } from './check.ts';
import { readDeliveryBacklog } from './store/readDeliveryBacklog.ts';

/** What waits longer than it should, and what waits for a person. */
export async function checkDeliveries(database: Database): Promise<Check> {
  const { overdue, overdueSeconds, held, exhausted, failedEndpoints } = await readDeliveryBacklog(database.db);
  const undelivered = [
    held > 0 && `${held} held`,
    exhausted > 0 && `${exhausted} exhausted`,
    failedEndpoints > 0 && `${failedEndpoints} endpoints failed`,
  ].filter((part) => part !== false);
  if (overdue > 0) {
    const message = `${overdue} overdue, the oldest for ${overdueSeconds} s`;
    return warning(
      'deliveries',
      [message, ...undelivered].join('; '),
      'Is a server running? Start one with moonguard start.',
    );
  }
  if (undelivered.length > 0) {
    return warning('deliveries', undelivered.join('; '), 'Look at them with moonguard webhooks undelivered.');
  }
  return ok('deliveries', 'none overdue, none undelivered');
}
