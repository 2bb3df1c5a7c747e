import type { Db } from '../../database/database.ts';
import type { QueueInput } from '../queue.ts';

/** Adds the queue, or changes what is given of it; its members stay. */
export async function putQueue(transaction: Db, queue: QueueInput): Promise<void> {
  const { name, alertTypes, severities, strategy, priority, isActive } = queue;
  const given = { name, strategy, priority, is_active: isActive };
  await transaction
    .insertInto('moonguard.alert_queues')
    .values({ ...given, alert_types: alertTypes ?? null, severities: severities ?? null })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ ...given, alert_types: alertTypes, severities }))
    .execute();
}
