import type { Insertable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardAlertQueues } from '../../database/schema.generated.ts';

/** Adds the queue, or replaces its settings; its members stay. */
export async function putQueue(transaction: Db, queue: Insertable<MoonguardAlertQueues>): Promise<void> {
  await transaction
    .insertInto('moonguard.alert_queues')
    .values(queue)
    .onConflict((conflict) => conflict.column('name').doUpdateSet(queue))
    .execute();
}
